UPDATE projectionist.subscriptions SET boot_until = $2 WHERE id = $1
