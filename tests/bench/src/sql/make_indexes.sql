SET maintenance_work_mem = '256MB';
DO $$ DECLARE k record; BEGIN FOR k IN SELECT make_it FROM kept LOOP EXECUTE k.make_it; END LOOP; END $$;
