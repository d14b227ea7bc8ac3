SELECT pg_catalog.max({position}) FROM {table} e
