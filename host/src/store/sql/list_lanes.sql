SELECT c.subscription, c.lane, c.position, c.moved_at,
       e.class, e.message, e.position AS error_position, e.event_type, e.module AS error_module, e.backtrace, e.output,
       e.attempts, e.retry_context, e.failed_at, e.retry_at,
       (pg_catalog.date_part('epoch', e.retry_at - pg_catalog.clock_timestamp()) * 1000)::bigint AS retry_in_ms
FROM projectionist.checkpoints c
LEFT JOIN projectionist.lane_errors e ON e.subscription = c.subscription AND e.lane = c.lane
WHERE $1::text IS NULL OR c.subscription = $1
ORDER BY c.subscription, c.lane
