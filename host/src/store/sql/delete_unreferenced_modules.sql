DELETE FROM projectionist.modules m
WHERE m.pinned_at IS NULL AND NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.module = m.digest)
