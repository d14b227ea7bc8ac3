UPDATE projectionist.subscriptions SET left_live_at = pg_catalog.clock_timestamp() WHERE id = $1
