SELECT pg_catalog.pg_is_in_recovery() AS is_standby, s.seqcache, s.seqincrement, s.seqcycle
FROM (VALUES (pg_catalog.to_regclass($1))) AS named (sequence)
LEFT JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = named.sequence
