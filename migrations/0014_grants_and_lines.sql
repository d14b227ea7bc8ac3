-- Grants on columns follow their columns: what readers were given on a column or a table that one version lacks is remembered, and given
-- again when a version has it. Before, a column's grants were lost with it, and a role that was gone by then held up the switch.
-- And waiting in SQL knows the name of a line, as the command line does.

COMMENT ON COLUMN projectionist.line_views.grants IS
    'What was granted on what the live version lacks, a table or some of its columns: it is given again when a version has them.';

-- Keeps the grants on a view that is about to be made anew or dropped, but those on the columns that stay; without any: all of them.
CREATE FUNCTION projectionist.remember_grants(p_line text, p_view text, relation oid, staying text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $body$
    UPDATE projectionist.line_views v
       SET grants = ARRAY(
           SELECT unnest(v.grants)
           UNION
           (SELECT unnest(projectionist.grants_of(relation, (SELECT array_agg(a.attname::text) FROM pg_attribute a
                                                              WHERE a.attrelid = relation AND a.attnum > 0)))
            EXCEPT SELECT unnest(projectionist.grants_of(relation, staying)) WHERE staying IS NOT NULL))
     WHERE v.line = p_line AND v.view = p_view
$body$;

-- Gives what was remembered, as far as the view has it now. What a role was given that is no more is forgotten.
CREATE FUNCTION projectionist.give_again(p_line text, p_view text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    later text[] := '{}';
    statement text;
BEGIN
    FOR statement IN
        SELECT unnest(v.grants) FROM projectionist.line_views v WHERE v.line = p_line AND v.view = p_view
    LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN undefined_column THEN later := later || statement;
            WHEN undefined_object THEN NULL;
        END;
    END LOOP;
    UPDATE projectionist.line_views SET grants = later WHERE line = p_line AND view = p_view AND grants <> later;
END $body$;

CREATE OR REPLACE FUNCTION projectionist.point_line(p_line text, p_to text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    outcome text := 'replaced';
    blockers text;
    names text[];
    definition text;
    one record;
BEGIN
    SELECT string_agg(pg_describe_object('pg_class'::regclass, c.oid, 0), ', ') INTO blockers
      FROM pg_class c
     WHERE c.relnamespace = p_to::regnamespace AND (c.relkind IN ('v', 'm', 'f') OR c.relrowsecurity);
    IF blockers IS NOT NULL THEN
        RAISE EXCEPTION 'readers would run code of the guest, since % is a view, a foreign table or has row security', blockers
            USING ERRCODE = 'PJ020', HINT = 'Make plain tables in setup.';
    END IF;
    IF NOT (SELECT l.has_schema FROM projectionist.lines l WHERE l.line = p_line) THEN
        IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = p_line) THEN
            RAISE EXCEPTION 'the schema % exists and was not made for this line', p_line
                USING ERRCODE = 'PJ022', HINT = 'Rename that schema, or choose an id of another line.';
        END IF;
        EXECUTE format('CREATE SCHEMA %I', p_line);
        UPDATE projectionist.lines SET has_schema = true WHERE line = p_line;
    END IF;

    -- Always in the same order, so that two who lock several views do not wait for each other.
    FOR one IN
        SELECT coalesce(o.relname, n.relname) AS name, o.oid AS old, n.oid AS new,
               o.oid IS NOT NULL AND n.oid IS NOT NULL AND NOT EXISTS (
                   SELECT FROM pg_attribute a
                     LEFT JOIN pg_attribute b ON b.attrelid = n.oid AND b.attname = a.attname AND b.attnum > 0 AND NOT b.attisdropped
                    WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND (b.attname IS NULL
                           OR (a.atttypid, a.atttypmod, a.attcollation) IS DISTINCT FROM (b.atttypid, b.atttypmod, b.attcollation))
               ) AS fits
          FROM (SELECT c.oid, c.relname FROM projectionist.line_views v
                  JOIN pg_class c ON c.relname = v.view AND c.relkind = 'v' AND c.relnamespace = p_line::regnamespace
                 WHERE v.line = p_line) o
          FULL JOIN (SELECT c.oid, c.relname FROM pg_class c
                      WHERE c.relnamespace = p_to::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                        AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) n
            ON n.relname = o.relname
         ORDER BY 1
    LOOP
        -- Columns that were there in their old order, new ones behind: that is what CREATE OR REPLACE takes.
        SELECT array_agg(b.attname::text),
               'SELECT ' || string_agg(quote_ident(b.attname), ', ' ORDER BY coalesce(a.attnum, 10000 + b.attnum))
                   || format(' FROM %I.%I', p_to, one.name)
          INTO names, definition
          FROM pg_attribute b
          LEFT JOIN pg_attribute a
            ON one.fits AND a.attrelid = one.old AND a.attname = b.attname AND a.attnum > 0 AND NOT a.attisdropped
         WHERE b.attrelid = one.new AND b.attnum > 0 AND NOT b.attisdropped;

        IF one.fits THEN
            EXECUTE format('CREATE OR REPLACE VIEW %I.%I AS %s', p_line, one.name, definition);
            PERFORM projectionist.give_again(p_line, one.name);
            CONTINUE;
        END IF;
        IF one.old IS NULL THEN
            IF EXISTS (SELECT FROM pg_class c WHERE c.relname = one.name AND c.relnamespace = p_line::regnamespace) THEN
                RAISE EXCEPTION '%.% exists and was not made for this line, and % has a table of that name', p_line, one.name, p_to
                    USING ERRCODE = 'PJ022', HINT = format('Rename or drop %I.%I.', p_line, one.name);
            END IF;
            EXECUTE format('CREATE VIEW %I.%I AS %s', p_line, one.name, definition);
            INSERT INTO projectionist.line_views (line, view) VALUES (p_line, one.name) ON CONFLICT (line, view) DO NOTHING;
            PERFORM projectionist.give_again(p_line, one.name);
            CONTINUE;
        END IF;
        outcome := 'rebuilt';
        blockers := projectionist.dependants(one.old);
        IF blockers IS NOT NULL THEN
            RAISE EXCEPTION '%.% % in %, and these depend on it: %', p_line, one.name,
                CASE WHEN one.new IS NULL THEN 'is no table any more' ELSE 'has other columns' END, p_to, blockers
                USING ERRCODE = 'PJ021', HINT = 'Drop them, and make them again after the switch.';
        END IF;
        PERFORM projectionist.remember_grants(p_line, one.name, one.old, CASE WHEN one.new IS NOT NULL THEN names END);
        IF one.new IS NULL THEN
            EXECUTE format('DROP VIEW %I.%I', p_line, one.name);
        ELSE
            PERFORM projectionist.rebuild_view(p_line, one.name, definition, names);
            PERFORM projectionist.give_again(p_line, one.name);
        END IF;
    END LOOP;
    RETURN outcome;
END $body$;

CREATE OR REPLACE FUNCTION projectionist.wait_for(
    "position" bigint, timeout interval DEFAULT '10 seconds', ids text[] DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
#variable_conflict use_column
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + wait_for.timeout;
    pause_s double precision := 0.001;
    longest_pause_s CONSTANT double precision := 0.05;
    waiting boolean;
    stopped record;
    unknown text;
BEGIN
    IF wait_for.position IS NULL OR wait_for.timeout IS NULL THEN
        RAISE EXCEPTION 'wait_for needs a position and a timeout'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'projectionist.append returns the position of each event.';
    END IF;
    -- Every look needs a snapshot of its own: in any other isolation this would look at the same moment until the end.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'wait_for sees nothing new in a transaction that is %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Call it in a transaction of its own, which is READ COMMITTED.';
    END IF;
    -- Nobody can read what this transaction appended before it commits, so it would wait for itself. Whoever took a number
    -- holds this lock until the end.
    IF EXISTS (SELECT FROM pg_locks l
                WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
                  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                  AND l.relation = 'projectionist.events_position'::regclass) THEN
        RAISE EXCEPTION 'wait_for was called in the transaction that appended, which would wait for itself'
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Commit first, then call it.';
    END IF;
    SELECT named.id INTO unknown FROM unnest(wait_for.ids) AS named (id)
     WHERE NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.id = named.id COLLATE "C")
       AND NOT EXISTS (SELECT FROM projectionist.lines l WHERE l.line = named.id COLLATE "C" AND l.live IS NOT NULL)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'no subscription has the id %, and no line of that name has a live version', unknown
            USING ERRCODE = 'PJ005', HINT = '`projectionist status` lists all subscriptions.';
    END IF;

    LOOP
        SELECT b.id, b.stands, b.reached_position INTO stopped
          FROM projectionist.behind(wait_for.position, wait_for.ids) b WHERE b.stopped LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% is % at position % and does not come to %',
                stopped.id, stopped.stands, stopped.reached_position, wait_for.position
                USING ERRCODE = 'PJ005', HINT = '`projectionist status` says why it does not go on.';
        END IF;
        SELECT EXISTS (SELECT FROM projectionist.behind(wait_for.position, wait_for.ids)) INTO waiting;
        IF NOT waiting THEN
            RETURN true;
        END IF;
        IF clock_timestamp() >= deadline THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(least(pause_s, greatest(extract(epoch FROM deadline - clock_timestamp()), 0)));
        pause_s := least(pause_s * 2, longest_pause_s);
    END LOOP;
END $body$;


REVOKE ALL ON FUNCTION projectionist.remember_grants(text, text, oid, text[]), projectionist.give_again(text, text) FROM PUBLIC;
