-- Who holds a lock on a view of the line, which the switch has to wait for.
SELECT DISTINCT a.pid, a.application_name, a.state, a.xact_start
FROM pg_catalog.pg_locks k
JOIN pg_catalog.pg_class c ON c.oid = k.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN projectionist.line_views v ON v.line = n.nspname AND v.view = c.relname
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = k.pid
WHERE v.line = $1 AND k.locktype = 'relation' AND k.granted AND k.pid <> pg_catalog.pg_backend_pid()
  AND k.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
ORDER BY a.xact_start, a.pid
