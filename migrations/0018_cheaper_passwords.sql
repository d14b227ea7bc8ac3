-- The passwords of roles, at less cost: making one took the server 18 ms, and each login as much time of the host.

-- RFC 2104.
CREATE FUNCTION projectionist.hmac_sha256(key bytea, message bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    block CONSTANT bytea := CASE WHEN length(key) > 64 THEN sha256(key) ELSE key END;
    inside bytea := decode(repeat('36', 64), 'hex');
    outside bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR place IN 0 .. length(block) - 1 LOOP
        inside := set_byte(inside, place, get_byte(inside, place) # get_byte(block, place));
        outside := set_byte(outside, place, get_byte(outside, place) # get_byte(block, place));
    END LOOP;
    RETURN sha256(outside || sha256(inside || message));
END $body$;

-- What the server keeps of a password: RFC 5802, in the form of pg_authid. With one iteration where the server would do thousands: they make it
-- dear to guess what people choose, and our passwords are 256 random bits, which nobody guesses at any price.
CREATE FUNCTION projectionist.password_verifier(password text) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    salt CONSTANT bytea := uuid_send(gen_random_uuid());
    salted CONSTANT bytea := projectionist.hmac_sha256(convert_to(password, 'UTF8'), salt || '\x00000001'::bytea);
    stored_key CONSTANT bytea := sha256(projectionist.hmac_sha256(salted, 'Client Key'));
    server_key CONSTANT bytea := projectionist.hmac_sha256(salted, 'Server Key');
BEGIN
    RETURN format('SCRAM-SHA-256$1:%s$%s:%s', encode(salt, 'base64'), encode(stored_key, 'base64'), encode(server_key, 'base64'));
END $body$;

-- As before, but for the password.
CREATE OR REPLACE FUNCTION projectionist.make_roles(id text) RETURNS boolean
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
                       CASE WHEN there.is_mighty IS NULL THEN 'CREATE' ELSE 'ALTER' END, wanted.name,
                       projectionist.password_verifier(wanted.password));
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

REVOKE ALL ON FUNCTION projectionist.hmac_sha256, projectionist.password_verifier FROM PUBLIC;
