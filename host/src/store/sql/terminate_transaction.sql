-- The transaction is named as well as the backend: by now the number of the backend may be somebody else's.
SELECT pg_catalog.pg_terminate_backend(pid, 5000)
FROM pg_catalog.pg_stat_activity
WHERE pid = $1 AND backend_xid::text::bigint = $2::bigint % 4294967296
