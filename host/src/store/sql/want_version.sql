UPDATE projectionist.lines
SET wanted = $2::text, wanted_since = CASE WHEN $2::text IS NOT NULL THEN pg_catalog.clock_timestamp() END,
    wanted_from = (SELECT min(c.position) FROM projectionist.checkpoints c WHERE c.subscription = $2),
    obstacle = NULL, obstacle_since = NULL
WHERE line = $1
