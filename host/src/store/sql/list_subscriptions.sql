SELECT id, line, version, kind, group_name, run_mode, start_position, boot_until, status, resume, status_since,
       went_live_at, left_live_at, muted, generation, descriptor, settings, module, xmin::text AS revision
FROM projectionist.subscriptions
WHERE $1::text IS NULL OR id = $1
ORDER BY id
