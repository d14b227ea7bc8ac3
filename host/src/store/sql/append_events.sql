SELECT a.position, a.id, a.version FROM projectionist.append($1, $2, $3::text::json) a
