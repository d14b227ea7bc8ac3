-- What a batch does to the host's own tables in the transaction of a guest, whose connection it shares. A guest can call all of
-- this as well, and none of it without a proof: a hash that only who knows the secret of the role can compute, over what is to be
-- done and the transaction that it is done in. A transaction that a guest ended and began again is another one.
--
-- `subscription` names one only on a connection of a host, which may read the secrets and needs no proof.

-- Whoever starts over by dropping the schema projectionist may leave this one behind.
CREATE SCHEMA IF NOT EXISTS pj_batch;
COMMENT ON SCHEMA pj_batch IS 'What hosts do in the transactions of guests. The functions ask for a proof that only a host can compute.';
GRANT USAGE ON SCHEMA pj_batch TO PUBLIC;

-- The subscription that the session is for.
CREATE FUNCTION projectionist.proven(what text, subscription text, proof bytea) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    role record;
BEGIN
    IF proven.subscription IS NOT NULL AND has_table_privilege(session_user, 'projectionist.roles', 'SELECT') THEN
        RETURN proven.subscription;
    END IF;
    SELECT r.subscription, r.secret INTO role FROM projectionist.roles r WHERE r.name = session_user;
    IF NOT FOUND OR proven.subscription IS NOT NULL OR what IS NULL OR proof IS NULL
       OR proof IS DISTINCT FROM sha256(role.secret || convert_to(what, 'UTF8') || role.secret) THEN
        RAISE EXCEPTION 'only the host may do this' USING ERRCODE = 'PJ010';
    END IF;
    RETURN role.subscription;
END $body$;

-- Null before the transaction has written or locked anything: then it took no lane.
CREATE FUNCTION projectionist.this_transaction() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT pg_current_xact_id_if_assigned()::text
$body$;

CREATE FUNCTION projectionist.digest(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $body$
    SELECT encode(sha256(convert_to(value, 'UTF8')), 'hex')
$body$;

-- The row lock is the lease of the lane: whoever holds it does the next batch, everybody else passes by and gets no row. The ceiling:
-- while a line is handed over its live version does not go past the next one, and one that is muted not past the live one.
CREATE OR REPLACE FUNCTION pj_batch.open_lane(lane integer, subscription text, proof bytea)
RETURNS TABLE ("position" bigint, moved_by uuid, status text, resume text, module bytea, generation integer, boot_until bigint,
               ceiling bigint, muted boolean, attempts integer, error_position bigint, retry_context text, transaction_id text, backend integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'open', lane, pg_backend_pid()), subscription, proof);
BEGIN
    RETURN QUERY
        SELECT c.position, c.moved_by, s.status, s.resume, s.module, s.generation, s.boot_until,
               CASE WHEN l.live = s.id AND l.handover_until > clock_timestamp()
                    THEN (SELECT min(h.position) FROM projectionist.checkpoints h WHERE h.subscription = l.challenger)
                    WHEN s.muted AND l.live <> s.id
                    THEN (SELECT min(h.position) FROM projectionist.checkpoints h WHERE h.subscription = l.live)
               END, s.muted, e.attempts, e.position, e.retry_context, pg_current_xact_id()::text, pg_backend_pid()
          FROM projectionist.checkpoints c
          JOIN projectionist.subscriptions s ON s.id = c.subscription
          LEFT JOIN projectionist.lines l ON l.line = s.line
          LEFT JOIN projectionist.lane_errors e ON e.subscription = c.subscription AND e.lane = c.lane
         WHERE c.subscription = mine AND c.lane = open_lane.lane
           FOR UPDATE OF c SKIP LOCKED;
END $body$;

-- Moves the checkpoint by compare-and-set, forgets an error that is passed by, and changes the status from and to where those are
-- given. Only in the transaction that took the lane: a guest that ended it has not handled anything. Whether the status changed.
CREATE OR REPLACE FUNCTION pj_batch.advance(
    lane integer, old_position bigint, new_position bigint, host uuid, from_status text, from_resume text, to_status text,
    to_resume text, must boolean, transaction_id text, subscription text, proof bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'advance', lane, old_position, new_position, host, coalesce(from_status, '-'), coalesce(from_resume, '-'),
                  coalesce(to_status, '-'), coalesce(to_resume, '-'), must::text, transaction_id), subscription, proof);
BEGIN
    IF transaction_id IS NULL OR transaction_id IS DISTINCT FROM projectionist.this_transaction() THEN
        RAISE EXCEPTION 'the guest ended the transaction of its batch' USING ERRCODE = 'PJ011';
    END IF;
    IF advance.subscription IS NULL AND (pg_my_temp_schema() <> 0 OR EXISTS (
        SELECT FROM pg_shdepend d
         WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o'
           AND d.refobjid = (SELECT p.oid FROM projectionist.roles r JOIN pg_roles p ON p.rolname = r.name
                              WHERE r.name = session_user AND r.duty = 'handler')
           AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())))
    THEN
        RAISE EXCEPTION 'the guest made a table or a large object outside of `setup`' USING ERRCODE = 'PJ013';
    END IF;
    UPDATE projectionist.checkpoints c
       SET position = new_position, moved_at = clock_timestamp(), moved_by = host
     WHERE c.subscription = mine AND c.lane = advance.lane AND c.position = old_position;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the checkpoint is not where the batch began' USING ERRCODE = 'PJ012';
    END IF;
    DELETE FROM projectionist.lane_errors e
     WHERE e.subscription = mine AND e.lane = advance.lane AND (e.position IS NULL OR e.position <= new_position);
    IF to_status IS NULL THEN
        RETURN false;
    END IF;
    UPDATE projectionist.subscriptions s
       SET status = to_status, resume = to_resume, status_since = clock_timestamp()
     WHERE s.id = mine AND s.status = from_status AND s.resume IS NOT DISTINCT FROM from_resume;
    IF NOT FOUND AND must THEN
        RAISE EXCEPTION 'the status was changed meanwhile' USING ERRCODE = 'PJ012';
    ELSIF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('projectionist_control', '');
    RETURN true;
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.append(stream text, expected_version bigint, events text, subscription text, proof bytea)
RETURNS TABLE ("position" bigint, id uuid, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    PERFORM projectionist.proven(
        concat_ws('|', 'append', projectionist.digest(stream), coalesce(expected_version::text, '-'),
                  projectionist.digest(events), projectionist.this_transaction()), subscription, proof);
    RETURN QUERY SELECT a.position, a.id, a.version FROM projectionist.append(stream, expected_version, events::json) a;
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.record_skipped("position" bigint, skipped_by text, reason text, subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'skip', position, skipped_by, projectionist.digest(reason), projectionist.this_transaction()),
        subscription, proof);
BEGIN
    INSERT INTO projectionist.skipped_events AS e (subscription, position, generation, skipped_by, reason)
    SELECT s.id, record_skipped.position, s.generation, record_skipped.skipped_by, record_skipped.reason
      FROM projectionist.subscriptions s WHERE s.id = mine
        ON CONFLICT ON CONSTRAINT skipped_events_pkey DO NOTHING;
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.fix_boot_until("position" bigint, subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'boot-until', position, projectionist.this_transaction()), subscription, proof);
BEGIN
    UPDATE projectionist.subscriptions s SET boot_until = fix_boot_until.position WHERE s.id = mine;
END $body$;

-- A new generation begins behind a position; what failed in the old one is forgotten.
CREATE OR REPLACE FUNCTION pj_batch.begin_generation("position" bigint, subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'generation', position, projectionist.this_transaction()), subscription, proof);
BEGIN
    UPDATE projectionist.subscriptions s
       SET generation = s.generation + 1, start_position = begin_generation.position, boot_until = NULL
     WHERE s.id = mine;
    DELETE FROM projectionist.lane_errors e WHERE e.subscription = mine;
END $body$;

-- Drops everything in the schema of a subscription, in the same transaction as what is made there anew.
CREATE OR REPLACE FUNCTION pj_batch.empty_schema(subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'empty', projectionist.this_transaction()), subscription, proof);
    owner name;
    handler name;
BEGIN
    SELECT min(r.name) FILTER (WHERE r.duty = 'owner'), min(r.name) FILTER (WHERE r.duty = 'handler') INTO owner, handler
      FROM projectionist.roles r WHERE r.subscription = mine;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', mine);
    IF owner IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I', mine);
    ELSE
        PERFORM projectionist.give_schema(mine, owner, handler);
    END IF;
END $body$;

-- The views of the line, while the tables of its live version are made anew.
CREATE OR REPLACE FUNCTION pj_batch.empty_line(subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'empty-line', projectionist.this_transaction()), subscription, proof);
BEGIN
    PERFORM projectionist.empty_line(s.line) FROM projectionist.subscriptions s WHERE s.id = mine;
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.point_line(subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'point-line', projectionist.this_transaction()), subscription, proof);
BEGIN
    PERFORM projectionist.point_line(s.line, s.id) FROM projectionist.subscriptions s WHERE s.id = mine;
END $body$;

-- What the owner has that it should not have: whatever could run code of the guest for somebody else, or outlive its schema. Asked
-- at the end of `setup`, in its transaction. Everybody may ask, about himself.
CREATE OR REPLACE FUNCTION pj_batch.audit() RETURNS TABLE (refused text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    WITH me AS (
        SELECT p.oid AS owner, h.oid AS handler, h.rolname AS handler_name, n.oid AS schema, r.subscription
          FROM projectionist.roles r
          JOIN pg_roles p ON p.rolname = r.name
          JOIN projectionist.roles other ON other.subscription = r.subscription AND other.duty = 'handler'
          JOIN pg_roles h ON h.rolname = other.name
          LEFT JOIN pg_namespace n ON n.nspname = r.subscription AND n.nspowner = p.oid
         WHERE r.name = session_user AND r.duty = 'owner'
    ), owned AS (
        SELECT d.classid, d.objid
          FROM me JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = me.owner
         WHERE d.deptype = 'o' AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
    ), part_of_a_type AS (
        SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = 'pg_type'::regclass AND d.deptype = 'i'
    ), found AS (
        SELECT pg_describe_object(o.classid, o.objid, 0) AS what
          FROM me, owned o
         WHERE NOT CASE o.classid
            WHEN 'pg_class'::regclass THEN EXISTS (SELECT FROM pg_class c WHERE c.oid = o.objid AND c.relnamespace = me.schema
                                                    AND c.relkind IN ('r', 'p', 'i', 'I', 'S', 'c'))
            WHEN 'pg_type'::regclass THEN EXISTS (SELECT FROM pg_type t WHERE t.oid = o.objid AND t.typnamespace = me.schema)
            WHEN 'pg_namespace'::regclass THEN o.objid = me.schema
            WHEN 'pg_default_acl'::regclass THEN true
            WHEN 'pg_proc'::regclass THEN (o.classid, o.objid) IN (SELECT t.classid, t.objid FROM part_of_a_type t)
            ELSE false END
        UNION ALL
        SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0)
          FROM owned o JOIN pg_trigger t ON t.tgrelid = o.objid
         WHERE o.classid = 'pg_class'::regclass AND NOT t.tgisinternal
        UNION ALL
        SELECT pg_describe_object('pg_rewrite'::regclass, w.oid, 0)
          FROM owned o JOIN pg_rewrite w ON w.ev_class = o.objid JOIN pg_class c ON c.oid = o.objid
         WHERE o.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p')
        UNION ALL
        SELECT pg_describe_object('pg_policy'::regclass, p.oid, 0)
          FROM owned o JOIN pg_policy p ON p.polrelid = o.objid WHERE o.classid = 'pg_class'::regclass
        UNION ALL
        SELECT pg_describe_object('pg_cast'::regclass, k.oid, 0)
          FROM owned o JOIN pg_cast k ON k.castsource = o.objid OR k.casttarget = o.objid
         WHERE o.classid = 'pg_type'::regclass
           AND ('pg_cast'::regclass, k.oid) NOT IN (SELECT t.classid, t.objid FROM part_of_a_type t)
        UNION ALL
        SELECT format('membership of %s in %s', m.member::regrole, m.roleid::regrole)
          FROM me JOIN pg_auth_members m ON m.member IN (me.owner, me.handler)
        UNION ALL
        SELECT format('the right to create in schema %s, for %s', me.subscription, me.handler_name)
          FROM me WHERE has_schema_privilege(me.handler, me.schema, 'CREATE')
        UNION ALL
        SELECT 'a temporary table' WHERE pg_my_temp_schema() <> 0
        UNION ALL
        SELECT format('no schema %s any more', me.subscription) FROM me WHERE me.schema IS NULL
    )
    SELECT DISTINCT f.what FROM found f ORDER BY f.what LIMIT 10
$body$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA projectionist FROM PUBLIC;
