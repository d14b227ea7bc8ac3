-- Counted up to a limit: a person wants to know "3" or "thousands", and the index is all that is read.
SELECT pg_catalog.count(*) FROM (SELECT FROM {table} e WHERE {position} > $1 AND {position} <= $2 LIMIT $3) AS counted
