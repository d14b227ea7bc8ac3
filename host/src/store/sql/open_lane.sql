-- The row lock is the lease of the lane: whoever holds it does the next batch, everybody else passes by. The ceiling: while a line
-- is handed over its live version does not go past the next one, and one that is muted not past the live one.
SELECT c.position, s.status, s.resume, s.run_mode, s.module, s.generation, s.boot_until, s.muted,
       pg_catalog.pg_current_xact_id()::text AS transaction_id, pg_catalog.pg_backend_pid() AS backend,
       e.attempts, e.position AS error_position, e.retry_context,
       CASE WHEN l.live = s.id AND l.handover_until > pg_catalog.clock_timestamp()
            THEN (SELECT min(h.position) FROM projectionist.checkpoints h WHERE h.subscription = l.challenger)
            WHEN s.muted AND l.live <> s.id
            THEN (SELECT min(h.position) FROM projectionist.checkpoints h WHERE h.subscription = l.live)
       END AS ceiling
FROM projectionist.checkpoints c
JOIN projectionist.subscriptions s ON s.id = c.subscription
LEFT JOIN projectionist.lines l ON l.line = s.line
LEFT JOIN projectionist.lane_errors e ON e.subscription = c.subscription AND e.lane = c.lane
WHERE c.subscription = $1 AND c.lane = $2
FOR UPDATE OF c SKIP LOCKED
