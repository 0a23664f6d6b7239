-- Functions and triggers. Re-applied whenever this file changes.

-- Wake the workers. The payload is the queue's name only: what is due is read from the rows.
create or replace function amarre.wake() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('amarre_work', tg_argv[0]);
    return null;
end $$;

-- Wake the browsers: something was told. Readers ask for what is new since their last id.
create or replace function amarre.tell() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('amarre_events', '');
    return null;
end $$;

drop trigger if exists events_tell on amarre.events;
create trigger events_tell after insert on amarre.events
    for each statement execute function amarre.tell();

create or replace function amarre.touch() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.updated_at := clock_timestamp();
    return new;
end $$;

drop trigger if exists profiles_touch on amarre.profiles;
create trigger profiles_touch before update on amarre.profiles
    for each row execute function amarre.touch();
drop trigger if exists system_config_touch on amarre.system_config;
create trigger system_config_touch before update on amarre.system_config
    for each row execute function amarre.touch();

-- An operator's UPDATE is an order. Leaving `processing` ends the claim, so that its late
-- result is ignored; going back to `pending` makes the row due at once.
create or replace function amarre.guard_request() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.updated_at := clock_timestamp();
    if new.status is distinct from old.status then
        if old.status = 'processing' then
            new.claimed_by := null;
            new.lease_until := null;
            new.claim_no := old.claim_no + 1;
        end if;
        if new.status = 'pending' then
            new.processed_at := null;
            -- A worker that puts a row back says when to try again; an operator does not.
            if new.due_at is not distinct from old.due_at then
                new.due_at := clock_timestamp();
                new.failures := 0;
            end if;
        elsif new.status in ('completed', 'failed') and new.processed_at is null then
            new.processed_at := clock_timestamp();
        end if;
    end if;
    return new;
end $$;

drop trigger if exists provisioning_requests_guard on amarre.provisioning_requests;
create trigger provisioning_requests_guard before update on amarre.provisioning_requests
    for each row execute function amarre.guard_request();

drop trigger if exists provisioning_requests_wake on amarre.provisioning_requests;
create trigger provisioning_requests_wake after insert on amarre.provisioning_requests
    for each statement execute function amarre.wake('provision');

drop trigger if exists provisioning_requests_wake_again on amarre.provisioning_requests;
create trigger provisioning_requests_wake_again after update of status on amarre.provisioning_requests
    for each row when (new.status = 'pending' and old.status is distinct from 'pending')
    execute function amarre.wake('provision');

-- Ask for an instance for a user, once: where he has one, or is about to, nothing happens.
create or replace function amarre.request_instance(p_user uuid, p_kind text default 'evolution')
returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    request uuid;
begin
    if exists (select from amarre.instances
                where user_id = p_user and kind = p_kind and wanted = 'present') then
        return null;
    end if;
    insert into amarre.provisioning_requests (kind, user_id)
    values (p_kind, p_user)
        on conflict (kind, user_id) where status in ('pending', 'processing') do nothing
    returning id into request;
    return request;
end $$;

-- A profile was created. On our own table it asks for an instance; on somebody else's
-- `profiles` (see `amarre db adopt`) it takes the row over first. There it must never make a
-- sign-up fail: what goes wrong is recorded, and a sweep repairs it.
create or replace function amarre.profile_created(p_schema text, p_row jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if p_schema = 'amarre' then
        perform amarre.request_instance((p_row ->> 'id')::uuid);
        return;
    end if;
    begin
        perform amarre.take_over((p_row ->> 'id')::uuid, p_row);
    exception when others then
        begin
            insert into amarre.events (at, kind, user_id, facts)
            values (clock_timestamp(), 'sign_up_not_taken', null,
                    jsonb_build_object('sqlstate', sqlstate, 'id', p_row ->> 'id'));
        exception when others then
            raise warning 'amarre: a sign-up was not recorded (%); the sweep will find it', sqlstate;
        end;
    end;
end $$;

create or replace function amarre.on_profile_created() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    begin
        perform amarre.profile_created(tg_table_schema, to_jsonb(new));
    exception when others then
        if tg_table_schema = 'amarre' then
            raise;
        end if;
        raise warning 'amarre: a sign-up was not recorded (%); the sweep will find it', sqlstate;
    end;
    return new;
end $$;

-- The trigger function of the contract, under its public name. One of that name that is not
-- ours (its comment says whose it is) belongs to a system that runs here: it stays.
do $do$
begin
    if to_regprocedure('public.handle_profile_evolution_instance()') is null
       or obj_description(to_regprocedure('public.handle_profile_evolution_instance()'), 'pg_proc') like 'Amarre: %' then
        create or replace function public.handle_profile_evolution_instance() returns trigger
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
        begin
            begin
                perform amarre.profile_created(tg_table_schema, to_jsonb(new));
            exception when others then
                if tg_table_schema = 'amarre' then
                    raise;
                end if;
                raise warning 'amarre: a sign-up was not recorded (%); the sweep will find it', sqlstate;
            end;
            return new;
        end $$;
        execute format('comment on function public.handle_profile_evolution_instance() is %L',
                       'Amarre: ' || (select md5(prosrc) from pg_proc
                                       where oid = 'public.handle_profile_evolution_instance()'::regprocedure));
    end if;
end $do$;

-- Copy a row of somebody else's `profiles`. Columns that it does not have stay empty, and so
-- does an address that another row has already: there it may stand twice.
create or replace function amarre.take_over(p_id uuid, p_row jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into amarre.profiles (id, email, full_name, phone)
    values (p_id,
            (select p_row ->> 'email'
              where not exists (select from amarre.profiles
                                 where lower(email) = lower(p_row ->> 'email'))),
            coalesce(p_row ->> 'full_name', p_row ->> 'name', p_row ->> 'username'),
            p_row ->> 'phone')
        on conflict do nothing;
end $$;

-- Take over the rows of somebody else's `profiles` that are missing here: those that were
-- there before, and sign-ups at which we failed. One that fails again does not stop the others.
create or replace function amarre.take_over_missing() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    theirs record;
    taken integer := 0;
begin
    -- Only where it was adopted: a trigger of ours stands on it, whatever others do too.
    if not exists (select from pg_trigger t
                    where t.tgrelid = to_regclass('public.profiles')
                      and t.tgfoid = 'amarre.on_profile_created()'::regprocedure) then
        return 0;
    end if;
    for theirs in execute 'select p.id, to_jsonb(p) as whole from public.profiles p
                            where not exists (select from amarre.profiles o where o.id = p.id)' loop
        begin
            perform amarre.take_over(theirs.id, theirs.whole);
            taken := taken + 1;
        exception when others then
            raise warning 'amarre: a customer was not taken over (%)', sqlstate;
        end;
    end loop;
    return taken;
end $$;

-- The other half, on somebody else's table: a user who leaves there leaves here. It must
-- never make their delete fail either.
create or replace function amarre.handle_profile_gone() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    begin
        delete from amarre.profiles where id = (to_jsonb(old) ->> 'id')::uuid;
    exception when others then
        raise warning 'amarre: a leaver was not recorded (%)', sqlstate;
    end;
    return null;
end $$;

drop trigger if exists on_profile_created_create_evolution_instance on amarre.profiles;
create trigger on_profile_created_create_evolution_instance after insert on amarre.profiles
    for each row execute function amarre.on_profile_created();

create or replace function amarre.tell_sign_up() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into amarre.events (at, kind, user_id, actor, facts)
    values (clock_timestamp(), 'signed_up', new.id, nullif(current_setting('amarre.actor', true), ''), '{}');
    return null;
end $$;

drop trigger if exists profiles_tell on amarre.profiles;
create trigger profiles_tell after insert on amarre.profiles
    for each row execute function amarre.tell_sign_up();

-- A user who leaves takes his instance with him: logged out and deleted upstream.
create or replace function amarre.leave() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update amarre.instances
       set wanted = 'absent', due_at = clock_timestamp(),
           label = coalesce(label, old.full_name, old.email)
     where user_id = old.id and wanted = 'present';
    if found then
        perform pg_notify('amarre_work', 'instances');
    end if;
    return old;
end $$;

drop trigger if exists profiles_leave on amarre.profiles;
create trigger profiles_leave before delete on amarre.profiles
    for each row execute function amarre.leave();

-- Here, not only in 20_roles.sql: that file is not run again when a function is added to this one.
revoke execute on all functions in schema amarre from public;
revoke execute on function public.handle_profile_evolution_instance() from public;
