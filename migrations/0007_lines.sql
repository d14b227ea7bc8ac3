-- Versions of a line: which one readers see, and what is under way to change that. Each version has its tables in the schema of its
-- id; readers use views in the schema of the line, which point at the tables of the live version.

CREATE TABLE projectionist.lines (
    line           text COLLATE "C" PRIMARY KEY,
    kind           text NOT NULL,
    live           text COLLATE "C" REFERENCES projectionist.subscriptions ON DELETE SET NULL,
    live_since     timestamptz,
    wanted         text COLLATE "C" REFERENCES projectionist.subscriptions ON DELETE SET NULL,
    wanted_since   timestamptz,
    wanted_from    bigint,
    has_schema     boolean NOT NULL DEFAULT false,
    challenger     text COLLATE "C" REFERENCES projectionist.subscriptions ON DELETE SET NULL,
    handover_by    uuid,
    handover_until timestamptz,
    handover_since timestamptz,
    handover_xmax  xid8,
    obstacle       text,
    obstacle_since timestamptz,
    CONSTRAINT line_kind_known CHECK (kind IN ('projector', 'processor')),
    CONSTRAINT live_has_a_time CHECK (live IS NULL OR live_since IS NOT NULL),
    CONSTRAINT wanted_has_a_time CHECK (wanted IS NULL OR wanted_since IS NOT NULL)
);
COMMENT ON COLUMN projectionist.lines.live IS 'The version that readers see; of processors the one that works.';
COMMENT ON COLUMN projectionist.lines.wanted IS 'What an operator wants to be live. It goes before any higher version.';
COMMENT ON COLUMN projectionist.lines.has_schema IS 'The schema of the line was made here: another that has its name is never written to.';
COMMENT ON COLUMN projectionist.lines.challenger IS
    'The version that is about to go live. Until handover_until the live one does not go past it, so that no reader who is switched over goes back.';
COMMENT ON COLUMN projectionist.lines.handover_since IS
    'From then on no snapshot sees the challenger behind the live version. Snapshots taken earlier have to go before the switch.';
COMMENT ON COLUMN projectionist.lines.obstacle IS 'What holds the switch up, for whoever asks.';

CREATE TABLE projectionist.line_views (
    line   text COLLATE "C" NOT NULL REFERENCES projectionist.lines ON DELETE CASCADE,
    view   text COLLATE "C" NOT NULL,
    grants text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (line, view)
);
COMMENT ON TABLE projectionist.line_views IS 'The views that were made here: what users add to the schema of a line is theirs.';
COMMENT ON COLUMN projectionist.line_views.grants IS
    'Of a view that the live version has no table for: its grants come back when a version has the table again.';

ALTER TABLE projectionist.subscriptions
    ADD COLUMN went_live_at timestamptz,
    ADD COLUMN left_live_at timestamptz,
    ADD COLUMN muted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN projectionist.subscriptions.went_live_at IS 'It was what readers saw. From then on it goes live only when an operator says so.';
COMMENT ON COLUMN projectionist.subscriptions.left_live_at IS 'Since then another version is live.';
COMMENT ON COLUMN projectionist.subscriptions.muted IS
    'A processor that builds its state from history up to where the live version is: it may not act.';

-- Lines that were there before. Their projectors get views at the next look of a host.
INSERT INTO projectionist.lines (line, kind) SELECT DISTINCT line, kind FROM projectionist.subscriptions;
UPDATE projectionist.lines l
SET live = highest.id, live_since = pg_catalog.clock_timestamp()
FROM (SELECT DISTINCT ON (line) line, id FROM projectionist.subscriptions
       WHERE status <> 'Detached' ORDER BY line, version DESC) highest
WHERE highest.line = l.line AND l.kind = 'processor';
UPDATE projectionist.subscriptions s
SET went_live_at = l.live_since
FROM projectionist.lines l
WHERE l.live = s.id;

-- What a user made that depends on a view or on its row type: other views, functions, triggers, rules, defaults.
CREATE FUNCTION projectionist.dependants(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    WITH row_type AS (
        SELECT t.oid, t.typarray FROM pg_type t WHERE t.typrelid = dependants.relation
    )
    SELECT string_agg(DISTINCT CASE
               WHEN w.ev_class <> dependants.relation THEN pg_describe_object('pg_class'::regclass, w.ev_class, 0)
               ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END, ', ')
      FROM pg_depend d
      LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
     WHERE ((d.refclassid = 'pg_class'::regclass AND d.refobjid = dependants.relation)
            OR (d.refclassid = 'pg_type'::regclass
                AND d.refobjid IN (SELECT r.oid FROM row_type r UNION ALL SELECT r.typarray FROM row_type r)))
       AND NOT (d.classid = 'pg_type'::regclass
                AND d.objid IN (SELECT r.oid FROM row_type r UNION ALL SELECT r.typarray FROM row_type r))
       AND NOT coalesce(w.ev_class = dependants.relation AND w.rulename = '_RETURN', false)
$body$;

-- The grants on a relation and on those of its columns that `kept` has too, as statements.
CREATE FUNCTION projectionist.grants_of(relation oid, kept text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT coalesce(array_agg(format('GRANT %s%s ON %I.%I TO %s%s', g.privilege_type, g.place, n.nspname, c.relname,
               CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
               CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)), '{}')
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL (
          SELECT e.privilege_type, e.grantee, e.is_grantable, '' AS place FROM aclexplode(c.relacl) e
          UNION ALL
          SELECT e.privilege_type, e.grantee, e.is_grantable, format(' (%I)', a.attname)
            FROM pg_attribute a, aclexplode(a.attacl) e
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (grants_of.kept)
      ) g
     WHERE c.oid = grants_of.relation AND g.grantee <> c.relowner
$body$;

-- The comments on a view and on those of its columns that `kept` has too, as statements.
CREATE FUNCTION projectionist.comments_of(relation oid, kept text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT coalesce(array_agg(CASE d.objsubid
               WHEN 0 THEN format('COMMENT ON VIEW %I.%I IS %L', n.nspname, c.relname, d.description)
               ELSE format('COMMENT ON COLUMN %I.%I.%I IS %L', n.nspname, c.relname, a.attname, d.description) END), '{}')
      FROM pg_description d
      JOIN pg_class c ON c.oid = d.objoid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid
     WHERE d.classoid = 'pg_class'::regclass AND d.objoid = comments_of.relation
       AND (d.objsubid = 0 OR a.attname = ANY (comments_of.kept))
$body$;

-- A view like the one that was there, where CREATE OR REPLACE cannot do it: what hangs on it is copied, or it is refused.
CREATE FUNCTION projectionist.rebuild_view(schema_name text, view_name text, definition text, kept text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    old oid := (SELECT c.oid FROM pg_class c WHERE c.relname = view_name AND c.relnamespace = schema_name::regnamespace);
    carried text[] := projectionist.grants_of(old, kept) || projectionist.comments_of(old, kept);
    options text := (SELECT string_agg(o.option_name || ' = ' || quote_literal(o.option_value), ', ')
                       FROM pg_class c, pg_options_to_table(c.reloptions) o WHERE c.oid = old);
    statement text;
BEGIN
    EXECUTE format('DROP VIEW %I.%I', schema_name, view_name);
    EXECUTE format('CREATE VIEW %I.%I %s AS %s', schema_name, view_name, coalesce('WITH (' || options || ')', ''), definition);
    -- Default privileges may have given more than there was.
    FOR statement IN
        SELECT DISTINCT format('REVOKE ALL ON %I.%I FROM %s', schema_name, view_name,
                   CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END)
          FROM pg_class c, aclexplode(c.relacl) e
         WHERE c.relname = view_name AND c.relnamespace = schema_name::regnamespace AND e.grantee <> c.relowner
    LOOP
        EXECUTE statement;
    END LOOP;
    FOREACH statement IN ARRAY carried LOOP
        EXECUTE statement;
    END LOOP;
END $body$;

-- Points the views of a line at the tables of one of its versions, all of them or, with an error, none. The caller holds the lanes of
-- both versions and has set lock_timeout, since whoever reads one of the views holds this up.
-- PJ020: the version has what must not be read through a view. PJ021: something depends on what would go. PJ022: a schema or an
-- object that was not made here is in the way.
CREATE FUNCTION projectionist.point_line(p_line text, p_to text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    outcome text := 'replaced';
    blockers text;
    names text[];
    definition text;
    statement text;
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
            CONTINUE;
        END IF;
        IF one.old IS NULL THEN
            IF EXISTS (SELECT FROM pg_class c WHERE c.relname = one.name AND c.relnamespace = p_line::regnamespace) THEN
                RAISE EXCEPTION '%.% exists and was not made for this line, and % has a table of that name', p_line, one.name, p_to
                    USING ERRCODE = 'PJ022', HINT = format('Rename or drop %I.%I.', p_line, one.name);
            END IF;
            EXECUTE format('CREATE VIEW %I.%I AS %s', p_line, one.name, definition);
            FOR statement IN
                SELECT unnest(v.grants) FROM projectionist.line_views v WHERE v.line = p_line AND v.view = one.name
            LOOP
                EXECUTE statement;
            END LOOP;
            INSERT INTO projectionist.line_views (line, view) VALUES (p_line, one.name)
                ON CONFLICT (line, view) DO UPDATE SET grants = '{}';
            CONTINUE;
        END IF;
        outcome := 'rebuilt';
        blockers := projectionist.dependants(one.old);
        IF blockers IS NOT NULL THEN
            RAISE EXCEPTION '%.% % in %, and these depend on it: %', p_line, one.name,
                CASE WHEN one.new IS NULL THEN 'is no table any more' ELSE 'has other columns' END, p_to, blockers
                USING ERRCODE = 'PJ021', HINT = 'Drop them, and make them again after the switch.';
        END IF;
        IF one.new IS NULL THEN
            UPDATE projectionist.line_views
               SET grants = projectionist.grants_of(one.old, '{}')
             WHERE line = p_line AND view = one.name;
            EXECUTE format('DROP VIEW %I.%I', p_line, one.name);
        ELSE
            PERFORM projectionist.rebuild_view(p_line, one.name, definition, names);
        END IF;
    END LOOP;
    RETURN outcome;
END $body$;
COMMENT ON FUNCTION projectionist.point_line IS 'Part of the switch of a line to another version. Not to be called alone.';

-- While a read model is made anew from the beginning, its views stay with all that hangs on them, and are empty.
CREATE FUNCTION projectionist.empty_line(p_line text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('CREATE OR REPLACE VIEW %I.%I AS SELECT %s WHERE false', p_line, c.relname,
                   string_agg(format('NULL::%s%s AS %I', format_type(a.atttypid, a.atttypmod),
                       CASE WHEN k.collname IS NULL OR a.attcollation = t.typcollation THEN ''
                            ELSE format(' COLLATE %I.%I', kn.nspname, k.collname) END, a.attname), ', ' ORDER BY a.attnum))
          FROM projectionist.line_views v
          JOIN pg_class c ON c.relname = v.view AND c.relkind = 'v' AND c.relnamespace = p_line::regnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_collation k ON k.oid = a.attcollation
          LEFT JOIN pg_namespace kn ON kn.oid = k.collnamespace
         WHERE v.line = p_line
         GROUP BY c.relname
         ORDER BY c.relname
    LOOP
        EXECUTE statement;
    END LOOP;
END $body$;

-- The end of a line whose last version was removed. What users put into its schema stays, and so does the schema then.
CREATE FUNCTION projectionist.forget_line(p_line text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.line = p_line) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM projectionist.lines l WHERE l.line = p_line AND l.has_schema) THEN
        IF EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass
                      AND d.refobjid = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = p_line) AND d.deptype = 'n') THEN
            RETURN;
        END IF;
        EXECUTE format('DROP SCHEMA IF EXISTS %I', p_line);
    END IF;
    DELETE FROM projectionist.lines WHERE line = p_line;
END $body$;

REVOKE ALL ON FUNCTION projectionist.dependants(oid), projectionist.grants_of(oid, text[]), projectionist.comments_of(oid, text[]),
    projectionist.rebuild_view(text, text, text, text[]), projectionist.point_line(text, text), projectionist.empty_line(text),
    projectionist.forget_line(text) FROM PUBLIC;

-- A version that is built beside a live one holds no writer up, and the name of a line means its live version.
CREATE OR REPLACE FUNCTION projectionist.behind(up_to bigint, ids text[])
RETURNS TABLE (id text, stands text, reached_position bigint, stopped boolean)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
    -- A New subscription has a checkpoint and no tables yet, so it is behind wherever it begins.
    SELECT s.id, s.status || coalesce('(' || s.resume || ')', ''), c.position,
           s.status IN ('Paused', 'Error', 'Detached', 'Finished')
      FROM projectionist.subscriptions s
      JOIN (SELECT subscription, min(position) AS position FROM projectionist.checkpoints GROUP BY subscription) c
        ON c.subscription = s.id
      LEFT JOIN projectionist.lines l ON l.line = s.line
     WHERE (c.position < behind.up_to OR s.status = 'New' OR s.resume = 'New')
       AND CASE WHEN behind.ids IS NULL
                -- What a later version replaced, and what is done for good, holds no writer up unless he names it.
                THEN s.descriptor ->> 'consistency' = 'strong' AND s.status NOT IN ('Detached', 'Finished')
                     AND coalesce(l.live = s.id, true)
                ELSE s.id = ANY (behind.ids) OR (l.live = s.id AND s.line = ANY (behind.ids)) END
$body$;
