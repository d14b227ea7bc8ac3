-- All lanes at once, by an operator who holds their locks.
UPDATE projectionist.checkpoints
SET position = $2, moved_at = pg_catalog.clock_timestamp(), moved_by = NULL
WHERE subscription = $1
