INSERT INTO projectionist.host_files AS f (host, file, digest, subscription, refusal) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (host, file) DO UPDATE
SET digest = excluded.digest, subscription = excluded.subscription, refusal = excluded.refusal, since = pg_catalog.clock_timestamp()
WHERE (f.digest, f.subscription, f.refusal) IS DISTINCT FROM (excluded.digest, excluded.subscription, excluded.refusal)
