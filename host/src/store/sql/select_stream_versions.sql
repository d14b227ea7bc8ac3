SELECT s.stream, (SELECT coalesce(max(e.version), 0) FROM projectionist.events e WHERE e.stream = s.stream)
FROM pg_catalog.unnest($1::pg_catalog.text[]) s (stream)
