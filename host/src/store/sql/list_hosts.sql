SELECT id, name, modules, walls, started_at, seen_at
FROM projectionist.hosts
WHERE seen_at >= pg_catalog.clock_timestamp() - $1 * interval '1 millisecond'
ORDER BY started_at, id
