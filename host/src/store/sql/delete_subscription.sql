DELETE FROM projectionist.subscriptions WHERE id = $1 RETURNING line
