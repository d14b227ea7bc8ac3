-- Compare and set, and only in the transaction that took the lane: a guest that ended it has not handled anything.
UPDATE projectionist.checkpoints
SET position = $4, moved_at = pg_catalog.clock_timestamp(), moved_by = $6
WHERE subscription = $1 AND lane = $2 AND position = $3
  AND pg_catalog.pg_current_xact_id_if_assigned()::text IS NOT DISTINCT FROM $5
