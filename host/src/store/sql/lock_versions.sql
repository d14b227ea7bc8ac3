-- In one order for all, so that two who lock the same lanes do not wait for each other.
SELECT c.subscription, c.lane, c.position
FROM projectionist.checkpoints c
WHERE c.subscription = ANY ($1)
ORDER BY c.subscription, c.lane
FOR UPDATE
