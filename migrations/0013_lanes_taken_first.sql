-- A statement sees what was committed when it began, and of a row that it locks what is there when it has the lock. So whoever reads
-- other rows in the statement that takes the lane may know, of a lane that somebody had in hand until just now, where it is now and
-- what its subscription was before: a processor that was stopped for its next version dealt with one more event, which that version
-- then dealt with again. Here the lane is taken first, and everything is read in the next statement.

CREATE OR REPLACE FUNCTION pj_batch.open_lane(lane integer, subscription text, proof bytea)
RETURNS TABLE ("position" bigint, moved_by uuid, status text, resume text, module bytea, generation integer, boot_until bigint,
               ceiling bigint, muted boolean, attempts integer, error_position bigint, retry_context text, transaction_id text, backend integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(concat_ws('|', 'open', lane, pg_backend_pid()), subscription, proof);
BEGIN
    -- The row lock is the lease of the lane: whoever holds it does the next batch, everybody else passes by and gets no row.
    PERFORM FROM projectionist.checkpoints c
      WHERE c.subscription = mine AND c.lane = open_lane.lane
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The ceiling: while a line is handed over its live version does not go past the next one, and one that is muted not past the
    -- live one.
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
         WHERE c.subscription = mine AND c.lane = open_lane.lane;
END $body$;

-- Moves checkpoints of lanes for whose guests nothing came, and says where they are. A lane whose lock somebody holds is in a batch and
-- needs no help; a version that is held back for the next one of its line has to wait. Nobody waits for the disk: what is lost in a
-- crash is passed again.
CREATE FUNCTION projectionist.pass_lanes(
    subscriptions text[], lanes integer[], passed_from bigint[], passed_to bigint[], revisions text[], host uuid)
RETURNS TABLE (subscription text, lane integer, "position" bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    free_subscriptions text[];
    free_lanes integer[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT array_agg(taken.subscription), array_agg(taken.lane) INTO free_subscriptions, free_lanes
      FROM (SELECT k.subscription, k.lane
              FROM unnest(subscriptions, lanes, passed_from) AS w (subscription, lane, passed_from)
              JOIN projectionist.checkpoints k
                ON k.subscription = w.subscription AND k.lane = w.lane AND k.position = w.passed_from
               FOR UPDATE OF k SKIP LOCKED) taken;
    RETURN QUERY
        WITH wanted AS (
            SELECT w.subscription, w.lane, w.passed_to
              FROM unnest(subscriptions, lanes, passed_to, revisions) AS w (subscription, lane, passed_to, revision)
              JOIN projectionist.subscriptions s ON s.id = w.subscription AND s.xmin::text = w.revision
        ), moved AS (
            UPDATE projectionist.checkpoints c
               SET position = w.passed_to, moved_at = clock_timestamp(),
                   -- Not of this host if it was not before: somebody may have written rows without moving it, as a replay does, and
                   -- what this host knows of rows is not true then.
                   moved_by = CASE WHEN c.moved_by = pass_lanes.host THEN c.moved_by END
              FROM wanted w
              JOIN unnest(free_subscriptions, free_lanes) AS f (subscription, lane)
                ON f.subscription = w.subscription AND f.lane = w.lane
             WHERE c.subscription = w.subscription AND c.lane = w.lane
               AND NOT EXISTS (SELECT FROM projectionist.lines l
                                WHERE l.live = w.subscription AND l.handover_until > clock_timestamp())
            RETURNING c.subscription, c.lane, c.position
        )
        SELECT k.subscription, k.lane, coalesce(m.position, k.position)
          FROM wanted w
          JOIN projectionist.checkpoints k ON k.subscription = w.subscription AND k.lane = w.lane
          LEFT JOIN moved m ON m.subscription = k.subscription AND m.lane = k.lane;
END $body$;

REVOKE ALL ON FUNCTION projectionist.pass_lanes(text[], integer[], bigint[], bigint[], text[], uuid) FROM PUBLIC;
