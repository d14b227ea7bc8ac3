UPDATE projectionist.subscriptions
SET generation = generation + 1, start_position = $2, boot_until = NULL
WHERE id = $1
