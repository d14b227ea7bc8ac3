SELECT projectionist.forget_line($1)
