-- Then everything is due at once, and half of the requests are in flight.
set session_replication_role = replica;
update amarre.provisioning_requests
   set status = case when claim_no = 1 and id < '80000000-0000-0000-0000-000000000000' then 'processing' else 'pending' end,
       claimed_by = case when id < '80000000-0000-0000-0000-000000000000' then 4 end,
       lease_until = case when id < '80000000-0000-0000-0000-000000000000' then timestamptz '2026-11-23 12:01Z' end;
update amarre.instances set due_at = timestamptz '2026-11-23 12:00Z', webhook_due_at = timestamptz '2026-11-23 12:00Z';
update amarre.deliveries
   set due_at = timestamptz '2026-11-23 12:00Z', applied_at = null, subject = 'connection'
 where received_at > timestamptz '2026-11-20 12:00Z';
set session_replication_role = default;
