DELETE FROM projectionist.lane_errors WHERE subscription = $1
