UPDATE projectionist.subscriptions SET boot_until = coalesce(boot_until, $2) WHERE id = $1 RETURNING boot_until
