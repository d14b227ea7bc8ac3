DELETE FROM projectionist.modules m
WHERE NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.module = m.digest)
