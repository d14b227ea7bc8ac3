UPDATE projectionist.subscriptions
SET went_live_at = pg_catalog.clock_timestamp(), left_live_at = NULL, muted = false
WHERE id = $1
