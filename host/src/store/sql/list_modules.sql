SELECT m.digest, pg_catalog.octet_length(m.bytes)::bigint AS size_bytes, m.descriptor, m.stored_at, m.imports, m.compile_ms, m.pinned_at,
       ARRAY(SELECT s.id FROM projectionist.subscriptions s WHERE s.module = m.digest ORDER BY s.id) AS used_by
FROM projectionist.modules m
ORDER BY m.descriptor ->> 'id', m.stored_at, m.digest
