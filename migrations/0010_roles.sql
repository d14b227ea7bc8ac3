-- Walls between guests: each subscription has two LOGIN roles of its own. The owner owns its schema and is used for `setup`; the
-- handler may read and write its tables and nothing else, and is used for `handle`. Neither is a member of anything.

CREATE TABLE projectionist.roles (
    name         name PRIMARY KEY,
    subscription text COLLATE "C" NOT NULL REFERENCES projectionist.subscriptions ON DELETE CASCADE,
    duty         text NOT NULL,
    password     text NOT NULL DEFAULT pg_catalog.encode(pg_catalog.sha256(
                     pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())), 'hex'),
    secret       bytea NOT NULL DEFAULT pg_catalog.sha256(
                     pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())),
    CONSTRAINT one_role_for_each_duty UNIQUE (subscription, duty),
    CONSTRAINT duty_known CHECK (duty IN ('owner', 'handler'))
);
COMMENT ON TABLE projectionist.roles IS 'The roles of subscriptions. Read by hosts alone: whoever can read it can be any guest, and can pass for the host.';
COMMENT ON COLUMN projectionist.roles.secret IS 'What the host proves with that it is not the guest: see pj_batch.';
REVOKE ALL ON projectionist.roles FROM PUBLIC;

ALTER TABLE projectionist.hosts ADD COLUMN walls text NOT NULL DEFAULT 'roles',
    ADD CONSTRAINT walls_known CHECK (walls IN ('roles', 'none'));
COMMENT ON COLUMN projectionist.hosts.walls IS 'none: this host was told to run the SQL of guests with its own rights.';

-- Roles belong to the whole cluster. A copy of a database has other roles than its original, and so has the same database in
-- another cluster.
CREATE FUNCTION projectionist.installation() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT left(encode(sha256(convert_to(c.system_identifier || '/' || d.oid, 'UTF8')), 'hex'), 10)
      FROM pg_control_system() c, pg_database d
     WHERE d.datname = current_database()
$body$;

-- At most 63 bytes: what is too long ends in a hash of the whole.
CREATE FUNCTION projectionist.role_name(installation text, id text, duty text) RETURNS name
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT format('pj_%s_%s_%s', installation, left(duty, 1), CASE WHEN octet_length(id) <= 47 THEN id
           ELSE left(id, 38) || '_' || left(encode(sha256(convert_to(id, 'UTF8')), 'hex'), 8) END)::name
$body$;

-- The schema of a subscription with everything in it belongs to `owner`; `handler` may read and write its tables.
CREATE FUNCTION projectionist.give_schema(id text, owner name, handler name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    change text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = id) THEN
        EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', id, owner);
    ELSIF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = id AND n.nspowner = owner::regrole) THEN
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', id, owner);
    END IF;
    -- What was made before there were roles, or in the database that this one was copied from. What hangs on a table or type goes
    -- with it.
    FOR change IN
        SELECT format('ALTER %s %I.%I OWNER TO %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
                      WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
                      id, c.relname, owner)
          FROM pg_class c
         WHERE c.relnamespace = id::regnamespace AND c.relowner <> owner::regrole AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                            AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
        UNION ALL
        SELECT format('ALTER TYPE %I.%I OWNER TO %I', id, t.typname, owner)
          FROM pg_type t
         WHERE t.typnamespace = id::regnamespace AND t.typowner <> owner::regrole AND t.typtype IN ('e', 'd', 'r')
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, owner)
          FROM pg_proc p
         WHERE p.pronamespace = id::regnamespace AND p.proowner <> owner::regrole
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    LOOP
        EXECUTE change;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', id, handler);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', id, handler);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', id, handler);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I',
                   owner, id, handler);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', owner, id, handler);
END $body$;

-- Whoever looks after roles has their rights: reads their tables, ends their sessions, drops what they own.
CREATE FUNCTION projectionist.look_after(role name, keeper name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF (SELECT k.rolsuper FROM pg_roles k WHERE k.rolname = keeper) THEN
        RETURN;
    END IF;
    -- From 16 on a creator may only administer what it made, until it grants itself more.
    IF current_setting('server_version_num')::int >= 160000 THEN
        IF NOT (pg_has_role(keeper, role, 'USAGE') AND pg_has_role(keeper, role, 'SET')) THEN
            EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', role, keeper);
        END IF;
    ELSIF NOT pg_has_role(keeper, role, 'USAGE') THEN
        EXECUTE format('GRANT %I TO %I', role, keeper);
    END IF;
END $body$;

-- Makes the roles of a subscription, or mends them, and gives them its schema. No such subscription: false.
CREATE FUNCTION projectionist.make_roles(id text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    owner CONSTANT name := projectionist.role_name(projectionist.installation(), id, 'owner');
    handler CONSTANT name := projectionist.role_name(projectionist.installation(), id, 'handler');
    wanted record;
    there record;
    is_super CONSTANT boolean := (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user);
BEGIN
    -- One at a time: two transactions that change one row of a catalog fail.
    LOCK TABLE projectionist.roles IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.id = make_roles.id FOR KEY SHARE) THEN
        RETURN false;
    END IF;
    DELETE FROM projectionist.roles r WHERE r.subscription = make_roles.id AND r.name NOT IN (owner, handler);
    INSERT INTO projectionist.roles (name, subscription, duty) VALUES (owner, id, 'owner'), (handler, id, 'handler')
        ON CONFLICT (name) DO NOTHING;
    FOR wanted IN SELECT r.name, r.duty, r.password FROM projectionist.roles r WHERE r.subscription = make_roles.id LOOP
        SELECT p.rolsuper OR p.rolcreaterole OR p.rolcreatedb OR p.rolreplication OR p.rolbypassrls AS is_mighty INTO there
          FROM pg_roles p WHERE p.rolname = wanted.name;
        IF there.is_mighty THEN
            RAISE EXCEPTION 'the role % exists and may do more than a guest should', wanted.name
                USING ERRCODE = 'PJ014', HINT = 'Drop it, or take its attributes away; projectionist makes its roles by itself.';
        END IF;
        -- A left-over of the same name is taken over: nobody knows its password any more.
        EXECUTE format('%s ROLE %I LOGIN NOINHERIT CONNECTION LIMIT 64 PASSWORD %L',
                       CASE WHEN there.is_mighty IS NULL THEN 'CREATE' ELSE 'ALTER' END, wanted.name, wanted.password);
        PERFORM projectionist.look_after(wanted.name, current_user);
        PERFORM projectionist.look_after(wanted.name, pg_get_userbyid(n.nspowner))
           FROM pg_namespace n WHERE n.nspname = 'projectionist' AND n.nspowner <> current_user::regrole;
        -- A host that is frozen loses its lease after so long.
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', wanted.name,
                       CASE wanted.duty WHEN 'owner' THEN '660s' ELSE '60s' END);
        IF is_super THEN
            EXECUTE format('ALTER ROLE %I SET temp_file_limit = ''4GB''', wanted.name);
        END IF;
        IF NOT has_database_privilege(wanted.name, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted.name);
        END IF;
    END LOOP;
    PERFORM projectionist.give_schema(id, owner, handler);
    RETURN true;
END $body$;

-- Drops the roles of a subscription, whose schema is gone by now. In the transaction that removes its row.
CREATE FUNCTION projectionist.drop_roles(id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT r.name FROM projectionist.roles r JOIN pg_roles p ON p.rolname = r.name WHERE r.subscription = drop_roles.id
    LOOP
        -- In a copy of a database the names are those of its original until a host has started.
        CONTINUE WHEN role NOT LIKE 'pj\_' || projectionist.installation() || '\_%';
        PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.usename = role AND a.pid <> pg_backend_pid();
        EXECUTE format('DROP OWNED BY %I CASCADE', role);
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            -- A copy of this database has something that belongs to it.
            EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', role);
        END;
    END LOOP;
    DELETE FROM projectionist.roles r WHERE r.subscription = drop_roles.id;
END $body$;

-- Subscriptions whose roles are not as they should be: made before there were roles, or copied with the database.
CREATE FUNCTION projectionist.roles_amiss() RETURNS TABLE (id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    WITH here AS MATERIALIZED (SELECT projectionist.installation() AS installation),
    good AS (
        SELECT r.subscription, r.duty, p.oid
          FROM here, projectionist.roles r JOIN pg_roles p ON p.rolname = r.name
         WHERE r.name = projectionist.role_name(here.installation, r.subscription, r.duty)
           AND p.rolcanlogin AND pg_has_role(p.oid, 'USAGE')
    )
    SELECT s.id
      FROM projectionist.subscriptions s
      LEFT JOIN good o ON o.subscription = s.id AND o.duty = 'owner'
      LEFT JOIN good h ON h.subscription = s.id AND h.duty = 'handler'
      LEFT JOIN pg_namespace n ON n.nspname = s.id
     WHERE o.oid IS NULL OR h.oid IS NULL OR n.nspowner IS DISTINCT FROM o.oid
        OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relowner <> o.oid)
     ORDER BY s.id
$body$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA projectionist FROM PUBLIC;
