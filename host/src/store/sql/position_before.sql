-- Times need not ascend with positions: everything recorded since then is behind this position. OFFSET 0 keeps the planner from
-- walking the log by position from its beginning until an event is late enough: it has an index on the time.
SELECT pg_catalog.min(since.position) - 1
FROM (SELECT {position} AS position FROM {table} e WHERE {recorded_at} >= $1 OFFSET 0) AS since
