-- What is passed over here another version of the line has dealt with.
UPDATE projectionist.checkpoints
SET position = $2, moved_at = pg_catalog.clock_timestamp(), moved_by = NULL
WHERE subscription = $1 AND position < $2
