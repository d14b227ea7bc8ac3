-- Sessions of guests' roles that stand idle in a transaction for longer than the server itself would let them.
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity a
JOIN projectionist.roles r ON r.name = a.usename
WHERE a.datname = pg_catalog.current_database()
  AND a.state LIKE 'idle in transaction%'
  AND a.state_change < pg_catalog.clock_timestamp()
      - (CASE r.duty WHEN 'owner' THEN $1::pg_catalog.float8 ELSE $2::pg_catalog.float8 END) * interval '1 millisecond'
