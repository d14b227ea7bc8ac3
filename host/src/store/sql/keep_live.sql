UPDATE projectionist.lines
SET live = $2, live_since = pg_catalog.clock_timestamp()
WHERE line = $1 AND live IS NULL
