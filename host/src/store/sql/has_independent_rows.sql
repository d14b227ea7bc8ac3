-- Rows of a table do not depend on one another: there is one key and nothing else that holds them against each other, nothing is run for
-- them, and no column that is left out is filled with something that may count. Operators are named by their schema, since this runs in a
-- session whose settings are a guest's.
SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index i
         WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND (i.indisunique OR i.indisexclusion)) OPERATOR(pg_catalog.=) 1
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                    WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal)
   AND NOT c.relhasrules AND NOT c.relrowsecurity
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
                      AND (a.atthasdef AND a.attgenerated OPERATOR(pg_catalog.=) '' OR a.attidentity OPERATOR(pg_catalog.<>) '')
                      AND a.attname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL ($2::pg_catalog.text[]))
FROM pg_catalog.pg_class c
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1) AND c.relkind OPERATOR(pg_catalog.=) 'r'
