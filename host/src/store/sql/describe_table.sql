-- format_type without a modifier: a cast to varchar(3) would truncate silently, the bare type errs. Operators are named by their
-- schema, since this runs in a session whose settings are a guest's.
SELECT a.attname::pg_catalog.text AS name, pg_catalog.format_type(a.atttypid, -1) AS type_name,
       (a.attgenerated OPERATOR(pg_catalog.<>) '' OR a.attidentity OPERATOR(pg_catalog.=) 'a') AS generated,
       coalesce(k.ord, 0)::pg_catalog.int8 AS key_place
FROM pg_catalog.pg_attribute a
LEFT JOIN (
    SELECT i.indrelid, x.attnum, x.ord
    FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY x(attnum, ord)
    WHERE i.indisprimary AND x.ord OPERATOR(pg_catalog.<=) i.indnkeyatts
) k ON k.indrelid OPERATOR(pg_catalog.=) a.attrelid AND k.attnum OPERATOR(pg_catalog.=) a.attnum
WHERE a.attrelid OPERATOR(pg_catalog.=) (
        SELECT c.oid FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
          AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
    )
  AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
ORDER BY a.attnum
