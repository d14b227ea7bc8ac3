-- Transactions that may see the challenger behind the live version: begun before the handover, holding a snapshot, and that
-- snapshot does not certainly see all that was committed by then.
SELECT a.pid, a.application_name, a.state, a.xact_start
FROM pg_catalog.pg_stat_activity a
CROSS JOIN projectionist.lines l
WHERE l.line = $1
  AND a.datname = pg_catalog.current_database()
  AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.xact_start < l.handover_since
  AND pg_catalog.age(a.backend_xmin) > pg_catalog.age(l.handover_xmax::pg_catalog.xid)
ORDER BY a.xact_start, a.pid
