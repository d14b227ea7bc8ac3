UPDATE projectionist.modules
SET pinned_at = CASE WHEN $2::boolean THEN coalesce(pinned_at, pg_catalog.clock_timestamp()) END
WHERE digest = $1
