-- Nobody waits for the disk: whoever sleeps after a crash arms the bell again. Always another value than before, so that whoever
-- armed it earlier sees that he is not alone.
SELECT pg_catalog.set_config('synchronous_commit', 'off', true),
       b.last_value AS before_ms,
       pg_catalog.setval('projectionist.bell', greatest(
           b.last_value + 1,
           pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8 + $1)) AS until_ms
FROM projectionist.bell AS b
