SELECT projectionist.point_line($1, $2)
