-- Sessions of guests' roles, and of hosts themselves, that stand idle in a transaction for longer than the server itself would let
-- them. A host's own may be those of a `setup`, where guests have no roles.
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity a
LEFT JOIN projectionist.roles r ON r.name = a.usename
WHERE a.datname = pg_catalog.current_database()
  AND (r.name IS NOT NULL OR a.usename = CURRENT_USER AND a.application_name = 'projectionist')
  AND a.state LIKE 'idle in transaction%'
  AND a.state_change < pg_catalog.clock_timestamp()
      - (CASE r.duty WHEN 'handler' THEN $2::pg_catalog.float8 ELSE $1::pg_catalog.float8 END) * interval '1 millisecond'
