-- What a batch asks at its beginning and at its end takes less of the time of the server. These three run inside of functions that set
-- search_path, and nobody else can call them: to set it once more cost as much as what they do, and kept the planner from putting
-- their bodies in the place of the call.
ALTER FUNCTION projectionist.proven(text, text, bytea) RESET search_path;
ALTER FUNCTION projectionist.this_transaction() RESET search_path;
ALTER FUNCTION projectionist.digest(text) RESET search_path;

-- The lane is taken first, and everything else is read in later statements, as before. What only a few lanes have is asked for when
-- one has it.
CREATE OR REPLACE FUNCTION pj_batch.open_lane(lane integer, subscription text, proof bytea)
RETURNS TABLE ("position" bigint, moved_by uuid, status text, resume text, module bytea, generation integer, boot_until bigint,
               ceiling bigint, muted boolean, attempts integer, error_position bigint, retry_context text, transaction_id text, backend integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'open', lane, pg_backend_pid()), subscription, proof);
    -- Up to whose checkpoint it may go.
    held_by text;
BEGIN
    -- The row lock is the lease of the lane: whoever holds it does the next batch, everybody else passes by and gets no row.
    SELECT c.position, c.moved_by INTO open_lane.position, open_lane.moved_by
      FROM projectionist.checkpoints c
     WHERE c.subscription = mine AND c.lane = open_lane.lane
       FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- While a line is handed over its live version does not go past the next one, and one that is muted not past the live one.
    SELECT s.status, s.resume, s.module, s.generation, s.boot_until, s.muted, e.attempts, e.position, e.retry_context,
           CASE WHEN l.live = s.id AND l.handover_until > clock_timestamp() THEN l.challenger
                WHEN s.muted AND l.live <> s.id THEN l.live END
      INTO status, resume, module, generation, boot_until, muted, attempts, error_position, retry_context, held_by
      FROM projectionist.subscriptions s
      LEFT JOIN projectionist.lines l ON l.line = s.line
      LEFT JOIN projectionist.lane_errors e ON e.subscription = s.id AND e.lane = open_lane.lane
     WHERE s.id = mine;
    IF held_by IS NOT NULL THEN
        SELECT min(h.position) INTO ceiling FROM projectionist.checkpoints h WHERE h.subscription = held_by;
    END IF;
    transaction_id := pg_current_xact_id()::text;
    backend := pg_backend_pid();
    RETURN NEXT;
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.advance(
    lane integer, old_position bigint, new_position bigint, host uuid, from_status text, from_resume text, to_status text,
    to_resume text, must boolean, transaction_id text, subscription text, proof bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'advance', lane, old_position, new_position, host, coalesce(from_status, '-'), coalesce(from_resume, '-'),
                  coalesce(to_status, '-'), coalesce(to_resume, '-'), must::text, transaction_id), subscription, proof);
BEGIN
    IF transaction_id IS NULL OR transaction_id IS DISTINCT FROM pg_current_xact_id_if_assigned()::text THEN
        RAISE EXCEPTION 'the guest ended the transaction of its batch' USING ERRCODE = 'PJ011';
    END IF;
    IF advance.subscription IS NULL AND (pg_my_temp_schema() <> 0 OR EXISTS (
        SELECT FROM pg_shdepend d
         WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = quote_ident(session_user)::regrole AND d.deptype = 'o'
           AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
           AND EXISTS (SELECT FROM projectionist.roles r WHERE r.name = session_user AND r.duty = 'handler')))
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
