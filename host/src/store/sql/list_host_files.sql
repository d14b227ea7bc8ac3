SELECT f.host, f.file, f.digest, f.subscription, f.refusal, f.since
FROM projectionist.host_files f
JOIN projectionist.hosts h ON h.id = f.host
WHERE h.seen_at >= pg_catalog.clock_timestamp() - $1 * interval '1 millisecond'
ORDER BY f.file, f.host
