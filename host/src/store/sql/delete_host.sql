DELETE FROM projectionist.hosts WHERE id = $1
