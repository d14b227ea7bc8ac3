SELECT subscription, lane, position FROM projectionist.pass_lanes($1, $2, $3, $4, $5, $6)
