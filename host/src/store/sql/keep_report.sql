INSERT INTO projectionist.reports
    (subscription, generation, from_position, to_position, events, log_lines, last_lines, took_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (subscription, generation, from_position) DO UPDATE
SET to_position = excluded.to_position, events = excluded.events, log_lines = excluded.log_lines,
    last_lines = excluded.last_lines, took_ms = excluded.took_ms, written_at = pg_catalog.clock_timestamp()
