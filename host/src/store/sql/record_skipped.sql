INSERT INTO projectionist.skipped_events (subscription, position, generation, skipped_by, reason)
SELECT id, $2, generation, $3, $4 FROM projectionist.subscriptions WHERE id = $1
ON CONFLICT (subscription, generation, position) DO NOTHING
