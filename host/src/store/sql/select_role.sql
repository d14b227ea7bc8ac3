SELECT name::text AS name, password, secret FROM projectionist.roles WHERE subscription = $1 AND duty = $2
