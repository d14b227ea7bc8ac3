-- A long log is loaded faster without them; make_indexes.sql makes them again.
CREATE TEMPORARY TABLE kept AS
SELECT format('ALTER TABLE projectionist.events DROP CONSTRAINT %I', c.conname) AS drop_it,
       format('ALTER TABLE projectionist.events ADD CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid)) AS make_it
  FROM pg_constraint c
 WHERE c.conrelid = 'projectionist.events'::regclass AND c.contype IN ('p', 'u')
 UNION ALL
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
  FROM pg_index i
 WHERE i.indrelid = 'projectionist.events'::regclass
   AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid);
DO $$ DECLARE k record; BEGIN FOR k IN SELECT drop_it FROM kept LOOP EXECUTE k.drop_it; END LOOP; END $$;
