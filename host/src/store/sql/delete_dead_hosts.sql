DELETE FROM projectionist.hosts WHERE seen_at < pg_catalog.clock_timestamp() - $1 * interval '1 millisecond'
