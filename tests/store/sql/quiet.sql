-- Nothing waits and nobody works: the day on which statistics were read.
set session_replication_role = replica;
update amarre.provisioning_requests set status = 'completed', claimed_by = null, lease_until = null;
update amarre.instances set due_at = null, webhook_due_at = null, claimed_by = null, lease_until = null;
update amarre.deliveries set due_at = null, applied_at = received_at;
set session_replication_role = default;
