-- The tables behind everything. Schema `amarre` is ours; the names that people write SQL
-- against are views in `public` (repeatable/30_views.sql).
--
-- Conventions: times are timestamptz; `due_at` says when to look at a row next; a claim is
-- `claimed_by` + `lease_until` + `claim_no`, and a result counts only under the claim_no
-- it was taken with. Secrets live in tables of their own, which no view reads.

-- ---------------------------------------------------------------- the installation

create table amarre.installation (
    one              boolean primary key default true check (one),
    id               uuid not null default gen_random_uuid(),
    -- Proves that every process holds the same AMARRE_SECRET_KEY, without holding the key.
    secret_key_check bytea,
    created_at       timestamptz not null default now()
);
insert into amarre.installation default values;

create table amarre.system_config (
    key        varchar primary key,
    value      jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Processes that take work. `lock_key` is the session advisory lock that each holds while
-- it lives, null behind a pooler that cannot hold one: then only the lease frees its rows.
create table amarre.workers (
    id         integer generated always as identity primary key,
    host       text not null,
    pid        integer not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    locked     boolean not null
);

-- ---------------------------------------------------------------- who is served

create table amarre.profiles (
    id         uuid primary key default gen_random_uuid(),
    email      text,
    full_name  text,
    phone      text,
    locale     text check (locale in ('fr', 'en')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index profiles_email on amarre.profiles (lower(email)) where email is not null;

-- ---------------------------------------------------------------- gateways and instances

create table amarre.gateways (
    id              uuid primary key default gen_random_uuid(),
    kind            text not null,
    name            text not null unique,
    base_url        text not null,
    active          boolean not null default true,
    version         text,
    dialect         text,
    -- unknown until asked; silent, refused and unlicensed stop the work on its instances.
    state           text not null default 'unknown'
                    check (state in ('unknown', 'ok', 'silent', 'refused', 'unlicensed', 'broken')),
    state_since     timestamptz not null default now(),
    failures        integer not null default 0,
    response_ms     integer,
    -- The gateway's clock against ours, from its fastest delivery: lets a delayed code show its true age.
    clock_skew      interval,
    list_due_at     timestamptz not null default now(),
    listed_at       timestamptz,
    claimed_by      integer,
    lease_until     timestamptz,
    claim_no        integer not null default 0,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);

create table amarre.instances (
    id                    uuid primary key default gen_random_uuid(),
    kind                  text not null,
    gateway_id            uuid references amarre.gateways (id),
    user_id               uuid references amarre.profiles (id) on delete set null,
    -- Its name at the gateway. Never used twice: a delete upstream takes its time.
    name                  text not null unique check (name ~ '^[A-Za-z0-9_-]{1,60}$'),
    label                 text,
    state                 text not null default 'creating'
                          check (state in ('creating', 'connecting', 'connected', 'disconnected', 'error')),
    reason                text,
    state_since           timestamptz not null default now(),
    -- What we want: an absent instance is logged out and deleted upstream, then here.
    wanted                text not null default 'present' check (wanted in ('present', 'absent')),
    remote_id             text,
    phone                 text,
    profile_name          text,
    -- The live code. All are null when there is none; a dead code is never kept.
    code                  text,
    qr_code               text,
    pairing_code          text,
    code_at               timestamptz,
    code_expires_at       timestamptz,
    code_said_at          timestamptz,
    code_number           integer not null default 0,
    last_qr_update        timestamptz,
    -- Codes are kept live until then; later only while somebody looks.
    pairing_until         timestamptz,
    watched_until         timestamptz,
    create_sent_at        timestamptz,
    created_remotely_at   timestamptz,
    webhook_configured_at timestamptz,
    webhook_checked_at    timestamptz,
    webhook_due_at        timestamptz,
    last_delivery_at      timestamptz,
    last_traffic_at       timestamptz,
    connected_at          timestamptz,
    response_ms           integer,
    heard                 text,
    heard_at              timestamptz,
    failures              integer not null default 0,
    error_code            text,
    due_at                timestamptz,
    claimed_by            integer,
    lease_until           timestamptz,
    claim_no              integer not null default 0,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint instances_code_whole check ((code is null) = (code_expires_at is null))
);
create unique index instances_one_a_user on amarre.instances (kind, user_id) where user_id is not null and wanted = 'present';
create index instances_due on amarre.instances (due_at) where due_at is not null;
create index instances_webhook_due on amarre.instances (webhook_due_at) where webhook_due_at is not null;
create index instances_claimed on amarre.instances (claimed_by) where claimed_by is not null;
create index instances_gateway on amarre.instances (gateway_id);
create index instances_state on amarre.instances (state);

-- The gateway's token (encrypted) and the secret that it sends back with every delivery
-- (encrypted, since it must be written there again; hashed, to be looked up).
create table amarre.instance_secrets (
    instance_id uuid primary key references amarre.instances (id) on delete cascade,
    token       bytea,
    hook_secret bytea not null,
    hook_hash   bytea not null
);

-- Codes that were shown, by hash. A gateway may hand out a used one with a straight face.
create table amarre.seen_codes (
    instance_id uuid not null references amarre.instances (id) on delete cascade,
    code_hash   bytea not null,
    seen_at     timestamptz not null,
    primary key (instance_id, code_hash)
);
create index seen_codes_seen on amarre.seen_codes (seen_at);

-- One-time links for the person with the phone.
create table amarre.pairing_links (
    id          uuid primary key default gen_random_uuid(),
    instance_id uuid not null references amarre.instances (id) on delete cascade,
    token_hash  bytea not null unique,
    created_by  text not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    opened_at   timestamptz,
    used_at     timestamptz
);
create index pairing_links_instance on amarre.pairing_links (instance_id);

-- ---------------------------------------------------------------- work

create table amarre.provisioning_requests (
    id            uuid primary key default gen_random_uuid(),
    kind          text not null default 'evolution',
    user_id       uuid not null references amarre.profiles (id) on delete cascade,
    status        varchar not null default 'pending'
                  check (status in ('pending', 'processing', 'completed', 'failed')),
    retry_count   integer not null default 0,
    max_retries   integer not null default 3,
    -- All failures in a row; those of the gateway use up no retry.
    failures      integer not null default 0,
    error_message text,
    error_code    text,
    instance_id   uuid references amarre.instances (id) on delete set null,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    processed_at  timestamptz,
    due_at        timestamptz not null default now(),
    claimed_by    integer,
    lease_until   timestamptz,
    claim_no      integer not null default 0
);
create unique index provisioning_requests_one_open on amarre.provisioning_requests (kind, user_id)
    where status in ('pending', 'processing');
create index provisioning_requests_due on amarre.provisioning_requests (due_at) where status = 'pending';
create index provisioning_requests_processing on amarre.provisioning_requests (lease_until) where status = 'processing';
create index provisioning_requests_user on amarre.provisioning_requests (user_id);

-- Webhooks as they came, less tokens and images. Kept before they are answered.
create table amarre.deliveries (
    id          bigint generated always as identity primary key,
    instance_id uuid not null references amarre.instances (id) on delete cascade,
    event       text not null,
    subject     text not null,
    body        jsonb not null,
    body_hash   bytea not null,
    received_at timestamptz not null,
    applied_at  timestamptz,
    -- What came of it: `applied`, or why it changed nothing.
    outcome     text,
    failures    integer not null default 0,
    due_at      timestamptz
);
-- A gateway that did not hear our answer sends the same body again.
create unique index deliveries_once on amarre.deliveries (instance_id, body_hash);
create index deliveries_due on amarre.deliveries (due_at, id) where due_at is not null;
create index deliveries_instance on amarre.deliveries (instance_id, id);
create index deliveries_received on amarre.deliveries (received_at);
create index deliveries_noise on amarre.deliveries (received_at) where subject <> 'message';

-- ---------------------------------------------------------------- what happened

-- Audit trail, feed of the browsers (the id is the SSE id) and source of outgoing webhooks.
-- Append-only. Ids are given before the commit: a reader looks back a little (web/live.py).
create table amarre.events (
    id          bigint generated always as identity primary key,
    at          timestamptz not null,
    kind        text not null,
    instance_id uuid,
    gateway_id  uuid,
    user_id     uuid,
    actor       text,
    facts       jsonb not null default '{}'
);
create index events_instance on amarre.events (instance_id, id desc);
create index events_user on amarre.events (user_id, id desc) where instance_id is null;
create index events_kind on amarre.events (kind, id desc);

-- ---------------------------------------------------------------- people and machines

create table amarre.users (
    id             uuid primary key default gen_random_uuid(),
    email          text not null,
    name           text not null,
    role           text not null check (role in ('admin', 'support', 'viewer')),
    password_hash  text not null,
    locale         text check (locale in ('fr', 'en')),
    theme          text check (theme in ('light', 'dark')),
    active         boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    last_login_at  timestamptz
);
create unique index users_email on amarre.users (lower(email));

create table amarre.sessions (
    token_hash bytea primary key,
    user_id    uuid not null references amarre.users (id) on delete cascade,
    created_at timestamptz not null,
    seen_at    timestamptz not null,
    expires_at timestamptz not null
);
create index sessions_user on amarre.sessions (user_id);
create index sessions_expires on amarre.sessions (expires_at);

create table amarre.api_keys (
    id           uuid primary key default gen_random_uuid(),
    name         text not null,
    key_hash     bytea not null unique,
    prefix       text not null,
    scope        text not null check (scope in ('read', 'write', 'admin')),
    created_by   text not null,
    created_at   timestamptz not null,
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz
);

-- Failed log-ins, for the rate limit; a row a try, pruned with the sessions.
create table amarre.login_failures (
    id      bigint generated always as identity primary key,
    subject text not null,
    at      timestamptz not null
);
create index login_failures_subject on amarre.login_failures (subject, at);
