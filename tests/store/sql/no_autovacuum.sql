-- Statistics are as old as the test says.
do $$
declare
    one regclass;
begin
    for one in select oid from pg_class where relnamespace = 'amarre'::regnamespace and relkind = 'r' loop
        execute format('alter table %s set (autovacuum_enabled = false)', one);
    end loop;
end $$;
