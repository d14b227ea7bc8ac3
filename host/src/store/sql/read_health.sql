SELECT pg_catalog.current_setting('server_version_num')::int AS version,
       (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint AS now_micros,
       pg_catalog.current_setting('max_connections')::int AS connections_max,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend') AS connections_used,
       current_user::text AS role,
       (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS is_superuser,
       pg_catalog.current_database()::text AS database,
       pg_catalog.has_database_privilege('public', pg_catalog.current_database(), 'TEMPORARY') AS public_may_make_temporary,
       coalesce((SELECT pg_catalog.has_schema_privilege('public', n.oid, 'CREATE')
                 FROM pg_catalog.pg_namespace n WHERE n.nspname = 'public'), false) AS public_may_create
