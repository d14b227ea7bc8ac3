-- The event is there for as long as the log has it.
SELECT s.subscription, s.position, s.generation, s.skipped_by, s.reason, s.skipped_at, s.replayed_at,
       {stream} AS stream, {type} AS event_type
FROM projectionist.skipped_events s
LEFT JOIN {table} e ON {position} = s.position
WHERE s.subscription = ANY ($1) AND ($2::bigint IS NULL OR s.position = $2)
ORDER BY s.subscription, s.generation, s.position
LIMIT $3
