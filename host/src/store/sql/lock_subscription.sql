SELECT s.status, s.resume FROM projectionist.subscriptions s WHERE s.id = $1 FOR NO KEY UPDATE
