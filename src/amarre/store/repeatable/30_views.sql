-- The contract in `public`: automatically updatable views over the generic tables. Each
-- shows `kind` last, with a default and a check, so that a row of another gateway neither
-- appears nor gets in. No view shows a secret. An object that is already there stays as it
-- is (`amarre db adopt` says what to do about it).

create or replace function amarre.is_ours(p_view text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
return not exists (
    select from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'public' and c.relname = p_view
       and (c.relkind <> 'v'
            or obj_description(c.oid, 'pg_class') is distinct from 'Amarre: a view over schema amarre')
);

create or replace function amarre.show(p_view text, p_query text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not amarre.is_ours(p_view) then
        return;
    end if;
    -- Replaced, not dropped: people build views of their own on ours, and grant rights on them.
    begin
        execute format('create or replace view public.%I with (security_invoker = true) as %s',
                       p_view, p_query);
    exception when invalid_table_definition then
        execute format('drop view public.%I', p_view);
        execute format('create view public.%I with (security_invoker = true) as %s', p_view, p_query);
    end;
    execute format('comment on view public.%I is %L', p_view, 'Amarre: a view over schema amarre');
    execute format('revoke all on public.%I from public, anon, authenticated', p_view);
    execute format('grant select, insert, update, delete on public.%I to service_role', p_view);
end $$;
revoke execute on function amarre.is_ours(text), amarre.show(text, text) from public, anon, authenticated;

select amarre.show('profiles', $$
    select id, email, full_name, phone, locale, created_at, updated_at
      from amarre.profiles
$$);

select amarre.show('evolution_instances', $$
    -- A code dies by itself, also while no worker is up to take it away: it is not shown then.
    select id, user_id, name as instance_name, state as instance_status, reason,
           case when code_expires_at > now() then qr_code end as qr_code,
           case when code_expires_at > now() then pairing_code end as pairing_code,
           last_qr_update, code_expires_at, phone as phone_number, profile_name,
           webhook_configured_at, last_delivery_at, connected_at, error_code,
           created_at, updated_at, kind
      from amarre.instances
     where kind = 'evolution'
      with cascaded check option
$$);

select amarre.show('evolution_instance_creation_queue', $$
    select id, user_id, status, retry_count, max_retries, error_message, error_code,
           created_at, updated_at, processed_at, kind
      from amarre.provisioning_requests
     where kind = 'evolution'
      with cascaded check option
$$);

select amarre.show('system_config', $$
    select key, value, created_at, updated_at from amarre.system_config
$$);

select amarre.show('v_webhook_health', $$
    select id as instance_id, user_id, name as instance_name, state as instance_status,
           webhook_configured_at, webhook_checked_at, last_delivery_at,
           case when webhook_configured_at is null then 'missing'
                when reason = 'webhook_missing' then 'missing'
                when coalesce(webhook_checked_at, '-infinity') < now() - interval '2 hours' then 'unverified'
                else 'ok' end as webhook_status,
           kind
      from amarre.instances
     where kind = 'evolution'
$$);

do $$
declare
    shown text;
begin
    foreach shown in array array['evolution_instances', 'evolution_instance_creation_queue'] loop
        if amarre.is_ours(shown) then
            execute format('alter view public.%I alter column kind set default ''evolution''', shown);
        end if;
    end loop;
    foreach shown in array array['profiles', 'evolution_instances', 'evolution_instance_creation_queue',
                                 'v_webhook_health'] loop
        if amarre.is_ours(shown) then
            execute format('grant select on public.%I to authenticated', shown);
        end if;
    end loop;
    if amarre.is_ours('v_webhook_health') then
        execute 'revoke insert, update, delete on public.v_webhook_health from service_role';
    end if;
end $$;

-- A login that is called like our schema would find its tables before the views, since
-- `"$user"` comes first in the search path.
do $$
begin
    if current_user = 'amarre' then
        execute format('alter role amarre in database %I set search_path = public', current_database());
    end if;
end $$;
