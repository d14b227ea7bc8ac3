UPDATE projectionist.lines
SET obstacle = $2::text, obstacle_since = CASE WHEN $2::text IS NOT NULL THEN coalesce(obstacle_since, pg_catalog.clock_timestamp()) END
WHERE line = $1 AND obstacle IS DISTINCT FROM $2
