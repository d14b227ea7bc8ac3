UPDATE projectionist.subscriptions
SET module = $3, descriptor = $4, settings = $5
WHERE id = $1 AND module = $2
RETURNING status, resume
