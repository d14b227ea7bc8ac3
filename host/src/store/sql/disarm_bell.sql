-- Unless somebody else has armed it since.
SELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.setval('projectionist.bell', $2)
FROM projectionist.bell AS b
WHERE b.last_value = $1
