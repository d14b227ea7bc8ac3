SELECT c.position
FROM projectionist.checkpoints c
JOIN projectionist.subscriptions s ON s.id = c.subscription
WHERE c.subscription = $1 AND c.lane = $2 AND s.xmin::text = $3
