INSERT INTO projectionist.hosts (id, name, modules, walls) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET seen_at = pg_catalog.clock_timestamp()
