SELECT EXISTS (SELECT FROM projectionist.subscriptions WHERE id = $1 AND module = $2)
