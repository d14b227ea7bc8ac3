INSERT INTO projectionist.checkpoints (subscription, lane, position)
SELECT $1, lane, $3 FROM pg_catalog.generate_series(0, $2 - 1) AS lane
