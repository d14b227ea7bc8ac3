-- Times need not ascend with positions: everything recorded since then is behind this position.
SELECT pg_catalog.min({position}) - 1 FROM {table} e WHERE {recorded_at} >= $1
