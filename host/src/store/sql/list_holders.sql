WITH holder AS MATERIALIZED (
    -- Distinct, because a lock that is just moving to the shared table may show twice. Of this database only: a copy of
    -- it has a sequence of the same number.
    SELECT DISTINCT l.virtualtransaction, l.pid
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation'
      AND l.relation = pg_catalog.to_regclass($1)
      AND l.mode = 'RowExclusiveLock'
      AND l.granted
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
)
SELECT h.virtualtransaction AS virtual_transaction,
       h.pid,
       a.application_name,
       a.query,
       a.state,
       coalesce(a.xact_start, p.prepared) AS since,
       p.gid
FROM holder AS h
-- Asked about one process each: the view pg_stat_activity would list all of them, at every look.
LEFT JOIN LATERAL (
    SELECT s.application_name, s.query, s.state, s.xact_start
    FROM pg_catalog.pg_stat_get_activity(h.pid) AS s
    WHERE h.pid IS NOT NULL
) AS a ON true
LEFT JOIN LATERAL (
    SELECT x.gid, x.prepared
    FROM pg_catalog.pg_locks AS t
    JOIN pg_catalog.pg_prepared_xacts AS x ON x.transaction = t.transactionid
    WHERE h.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = h.virtualtransaction
    LIMIT 1
) AS p ON true
