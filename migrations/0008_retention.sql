-- The tables of a version that is dropped by itself. What users built on them is not dropped with them: then the error names it.
CREATE FUNCTION projectionist.drop_tables(id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    tables text;
BEGIN
    SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ') INTO tables
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = drop_tables.id AND c.relkind IN ('r', 'p') AND NOT c.relispartition;
    IF tables IS NOT NULL THEN
        EXECUTE 'DROP TABLE ' || tables || ' RESTRICT';
    END IF;
END $body$;

REVOKE ALL ON FUNCTION projectionist.drop_tables(text) FROM PUBLIC;
