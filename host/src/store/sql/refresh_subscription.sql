UPDATE projectionist.subscriptions
SET group_name = $4, run_mode = $5, descriptor = $6, start_position = coalesce($7, start_position)
WHERE id = $1 AND module = $2 AND status = $3
