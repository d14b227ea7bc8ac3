INSERT INTO projectionist.lane_errors
    (subscription, lane, class, message, position, event_type, module, backtrace, output, attempts, retry_context, retry_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
        pg_catalog.clock_timestamp() + $12 * interval '1 millisecond')
ON CONFLICT (subscription, lane) DO UPDATE
SET class = excluded.class, message = excluded.message, position = excluded.position, event_type = excluded.event_type,
    module = excluded.module, backtrace = excluded.backtrace, output = excluded.output, attempts = excluded.attempts,
    retry_context = excluded.retry_context, retry_at = excluded.retry_at, failed_at = pg_catalog.clock_timestamp()
