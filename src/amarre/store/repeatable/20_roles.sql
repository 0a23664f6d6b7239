-- The roles of the API contract, and what they may see. A user sees his own rows, by the
-- claims that PostgREST and Supabase put into `request.jwt.claims`. The service role sees
-- all by policy, since `bypassrls` would need a superuser to grant it.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin noinherit', wanted);
            exception
                -- Two processes or two databases of one server may make it at once.
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise exception using errcode = 'insufficient_privilege',
                        message = format('role %I does not exist and this login may not create it', wanted),
                        hint = format('as an administrator: create role %I nologin noinherit', wanted);
            end;
        end if;
    end loop;
end $$;

create or replace function amarre.caller() returns uuid
language sql stable set search_path = pg_catalog, pg_temp
return nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid;

revoke all on all tables in schema amarre from public, anon, authenticated;
revoke all on all functions in schema amarre from public, anon, authenticated;
revoke create on schema amarre from public;
do $$
begin
    -- Theirs, where a system of that name runs here already, is theirs to grant.
    if obj_description('public.handle_profile_evolution_instance()'::regprocedure, 'pg_proc') like 'Amarre: %' then
        revoke execute on function public.handle_profile_evolution_instance() from public, anon, authenticated;
    end if;
end $$;
revoke execute on function amarre.handle_profile_gone(), amarre.on_profile_created() from public;
grant usage on schema amarre to authenticated, service_role;
grant execute on function amarre.caller() to authenticated, service_role;
grant execute on function amarre.request_instance(uuid, text) to service_role;

alter table amarre.installation enable row level security;
alter table amarre.system_config enable row level security;
alter table amarre.workers enable row level security;
alter table amarre.profiles enable row level security;
alter table amarre.gateways enable row level security;
alter table amarre.instances enable row level security;
alter table amarre.instance_secrets enable row level security;
alter table amarre.seen_codes enable row level security;
alter table amarre.pairing_links enable row level security;
alter table amarre.provisioning_requests enable row level security;
alter table amarre.deliveries enable row level security;
alter table amarre.events enable row level security;
alter table amarre.users enable row level security;
alter table amarre.sessions enable row level security;
alter table amarre.api_keys enable row level security;
alter table amarre.login_failures enable row level security;

grant select on amarre.profiles, amarre.instances, amarre.provisioning_requests to authenticated;
grant select, insert, update, delete on amarre.profiles, amarre.instances,
      amarre.provisioning_requests, amarre.system_config to service_role;
grant insert on amarre.events to service_role;

drop policy if exists own on amarre.profiles;
create policy own on amarre.profiles for select to authenticated using (id = (select amarre.caller()));
drop policy if exists service on amarre.profiles;
create policy service on amarre.profiles to service_role using (true) with check (true);

drop policy if exists own on amarre.instances;
create policy own on amarre.instances for select to authenticated using (user_id = (select amarre.caller()));
drop policy if exists service on amarre.instances;
create policy service on amarre.instances to service_role using (true) with check (true);

drop policy if exists own on amarre.provisioning_requests;
create policy own on amarre.provisioning_requests for select to authenticated
    using (user_id = (select amarre.caller()));
drop policy if exists service on amarre.provisioning_requests;
create policy service on amarre.provisioning_requests to service_role using (true) with check (true);

drop policy if exists service on amarre.system_config;
create policy service on amarre.system_config to service_role using (true) with check (true);

drop policy if exists service on amarre.events;
create policy service on amarre.events for insert to service_role with check (true);
