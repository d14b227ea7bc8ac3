SELECT id, line, version, kind, group_name, run_mode, start_position, boot_until, status, resume, status_since,
       generation, descriptor, settings, module
FROM projectionist.subscriptions
WHERE $1::text IS NULL OR id = $1
ORDER BY id
