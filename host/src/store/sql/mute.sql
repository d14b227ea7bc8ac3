UPDATE projectionist.subscriptions SET muted = $2 WHERE id = $1
