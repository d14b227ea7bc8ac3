SELECT projectionist.drop_roles($1)
