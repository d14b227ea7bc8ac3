UPDATE projectionist.lines
SET live = $2, live_since = pg_catalog.clock_timestamp(), wanted = NULL, wanted_since = NULL, wanted_from = NULL,
    challenger = NULL, handover_by = NULL, handover_until = NULL, handover_since = NULL, handover_xmax = NULL,
    obstacle = NULL, obstacle_since = NULL
WHERE line = $1
