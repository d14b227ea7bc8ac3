INSERT INTO projectionist.subscriptions
    (id, line, version, kind, group_name, run_mode, start_position, descriptor, settings, module, muted)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO NOTHING
