SELECT projectionist.drop_tables($1)
