-- format_type without a modifier: a cast to varchar(3) would truncate silently, the bare type errs.
SELECT a.attname::text AS name, pg_catalog.format_type(a.atttypid, -1) AS type_name,
       (a.attgenerated <> '' OR a.attidentity = 'a') AS generated, coalesce(k.ord, 0)::bigint AS key_place
FROM pg_catalog.pg_attribute a
LEFT JOIN (
    SELECT i.indrelid, x.attnum, x.ord
    FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY x(attnum, ord)
    WHERE i.indisprimary AND x.ord <= i.indnkeyatts
) k ON k.indrelid = a.attrelid AND k.attnum = a.attnum
WHERE a.attrelid = (
        SELECT c.oid FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
    )
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
