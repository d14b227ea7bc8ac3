-- Nobody waits for the disk: whoever sleeps after a crash arms the bell again.
SELECT pg_catalog.set_config('synchronous_commit', 'off', true),
       pg_catalog.setval('projectionist.bell', greatest(
           b.last_value,
           pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8 + $1)) AS armed_until_ms
FROM projectionist.bell AS b
