SELECT projectionist.make_roles($1)
