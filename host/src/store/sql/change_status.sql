UPDATE projectionist.subscriptions
SET status = $4, resume = $5, status_since = pg_catalog.clock_timestamp()
WHERE id = $1 AND status = $2 AND resume IS NOT DISTINCT FROM $3
