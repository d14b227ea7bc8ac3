-- The row lock is the lease of the lane: whoever holds it does the next batch, everybody else passes by.
SELECT c.position, s.status, s.resume, s.run_mode, s.module, s.generation, s.boot_until,
       pg_catalog.pg_current_xact_id()::text AS transaction_id, pg_catalog.pg_backend_pid() AS backend,
       e.attempts, e.position AS error_position, e.retry_context
FROM projectionist.checkpoints c
JOIN projectionist.subscriptions s ON s.id = c.subscription
LEFT JOIN projectionist.lane_errors e ON e.subscription = c.subscription AND e.lane = c.lane
WHERE c.subscription = $1 AND c.lane = $2
FOR UPDATE OF c SKIP LOCKED
