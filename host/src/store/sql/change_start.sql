UPDATE projectionist.subscriptions SET start_position = $2 WHERE id = $1 AND status = 'New'
