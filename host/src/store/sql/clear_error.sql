DELETE FROM projectionist.lane_errors
WHERE subscription = $1 AND lane = $2 AND (position IS NULL OR position <= $3)
