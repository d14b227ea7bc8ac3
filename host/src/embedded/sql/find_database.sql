SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.datname = $1)
