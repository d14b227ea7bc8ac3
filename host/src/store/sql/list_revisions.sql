SELECT id, xmin::text AS revision FROM projectionist.subscriptions
