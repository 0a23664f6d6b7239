-- A large fleet on an ordinary day, made quickly: without triggers. `tests.store.plan.row` knows the ids.
set session_replication_role = replica;
insert into amarre.gateways (id, kind, name, base_url)
select md5('g' || n)::uuid, 'evolution', 'g-' || n, 'http://evo.example' from generate_series(1, 4) n;
insert into amarre.profiles (id, email, full_name)
select md5('p' || n)::uuid, 'p' || n || '@example.com', 'Customer ' || n from generate_series(1, 20001) n;
insert into amarre.instances (id, kind, gateway_id, user_id, name, state, reason, wanted, due_at,
                              webhook_due_at, created_remotely_at, connected_at, claimed_by, lease_until, claim_no)
select md5('i' || n)::uuid, 'evolution', md5('g' || 1 + n % 4)::uuid, md5('p' || n)::uuid, 'i-' || n,
       case when n % 20 = 0 then 'disconnected' when n % 33 = 0 then 'connecting' else 'connected' end,
       case when n % 20 = 0 then 'pairing_expired' end, 'present',
       timestamptz '2026-11-23 12:00Z' + n * interval '30 ms', timestamptz '2026-11-23 12:00Z' + n * interval '90 ms',
       timestamptz '2026-11-01Z', timestamptz '2026-11-01Z', case when n % 1000 = 0 then 3 end,
       case when n % 1000 = 0 then timestamptz '2026-11-23 12:01Z' end, 1
  from generate_series(1, 20000) n;
insert into amarre.instances (id, kind, name) values (md5('i20001')::uuid, 'evolution', 'i-20001');
insert into amarre.instance_secrets (instance_id, hook_secret, hook_hash)
select md5('i' || n)::uuid, 'sealed', sha256(('h' || n)::bytea) from generate_series(1, 20000) n;
insert into amarre.seen_codes
select md5('i' || n)::uuid, sha256(('c' || n)::bytea), timestamptz '2026-11-01Z' from generate_series(1, 20000) n;
insert into amarre.pairing_links (id, instance_id, token_hash, created_by, expires_at)
select md5('l' || n)::uuid, md5('i' || n)::uuid, sha256(('l' || n)::bytea), 'alice', timestamptz '2026-11-24Z'
  from generate_series(1, 2000) n;
insert into amarre.provisioning_requests (id, user_id, instance_id, status, due_at, processed_at, claimed_by,
                                          lease_until, claim_no)
select md5('r' || n)::uuid, md5('p' || n)::uuid, md5('i' || n)::uuid,
       case when n % 1000 = 0 then 'processing' when n % 500 = 1 then 'pending' when n % 700 = 2 then 'failed'
            else 'completed' end, timestamptz '2026-11-23 11:59Z', timestamptz '2026-11-01Z',
       case when n % 1000 = 0 then 3 end,
       case when n % 1000 = 0 then timestamptz '2026-11-23 12:01Z' end, 1
  from generate_series(1, 20000) n;
insert into amarre.deliveries (instance_id, event, subject, body, body_hash, received_at, due_at,
                               applied_at, outcome)
select md5('i' || 1 + n % 20000)::uuid, 'messages.upsert', 'message', '{"text": "hello"}',
       sha256(('d' || n)::bytea), timestamptz '2026-11-23 12:00Z' - (50000 - n) * interval '12 s',
       case when n > 49900 then timestamptz '2026-11-23 12:00Z' end,
       case when n <= 49900 then timestamptz '2026-11-23 12:00Z' end, 'kept'
  from generate_series(1, 50000) n;
insert into amarre.events (at, kind, instance_id, user_id)
select timestamptz '2026-11-23 12:00Z' - (100000 - n) * interval '6 s', 'connected',
       case when n % 10 > 0 then md5('i' || 1 + n % 20000)::uuid end, md5('p' || 1 + n % 20000)::uuid
  from generate_series(1, 100000) n;
insert into amarre.users (id, email, name, role, password_hash)
select md5('u' || n)::uuid, 'u' || n || '@example.com', 'User ' || n, 'support', 'argon'
  from generate_series(1, 200) n;
insert into amarre.sessions
select sha256(('s' || n)::bytea), md5('u' || 1 + n % 200)::uuid, timestamptz '2026-11-23 11:50Z',
       timestamptz '2026-11-23 11:50Z', timestamptz '2026-11-24Z' from generate_series(1, 2000) n;
insert into amarre.api_keys (name, key_hash, prefix, scope, created_by, created_at)
select 'k' || n, sha256(('k' || n)::bytea), 'am_' || n, 'read', 'alice', timestamptz '2026-11-01Z'
  from generate_series(1, 200) n;
insert into amarre.login_failures (subject, at)
select 'a' || n % 500, timestamptz '2026-11-23 11:50Z' from generate_series(1, 5000) n;
set session_replication_role = default;
