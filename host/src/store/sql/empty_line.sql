SELECT projectionist.empty_line($1)
