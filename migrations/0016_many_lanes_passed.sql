-- A thousand checkpoints are moved together every second or two, so what it costs must grow with their number and not with its square:
-- no list is joined with another one, and what is the same for all lanes is asked once.

CREATE OR REPLACE FUNCTION projectionist.pass_lanes(
    subscriptions text[], lanes integer[], passed_from bigint[], passed_to bigint[], revisions text[], host uuid)
RETURNS TABLE (subscription text, lane integer, "position" bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    free_subscriptions text[];
    free_lanes integer[];
    free_to bigint[];
    free_revisions text[];
    moved integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT array_agg(taken.subscription), array_agg(taken.lane), array_agg(taken.passed_to), array_agg(taken.revision)
      INTO free_subscriptions, free_lanes, free_to, free_revisions
      FROM (SELECT k.subscription, k.lane, w.passed_to, w.revision
              FROM unnest(subscriptions, lanes, passed_from, passed_to, revisions)
                   AS w (subscription, lane, passed_from, passed_to, revision)
              JOIN projectionist.checkpoints k
                ON k.subscription = w.subscription AND k.lane = w.lane AND k.position = w.passed_from
               FOR UPDATE OF k SKIP LOCKED) taken;
    -- In a statement of its own: the row of the subscription as it is now that the lane is taken.
    RETURN QUERY
        UPDATE projectionist.checkpoints c
           SET position = w.passed_to, moved_at = clock_timestamp(),
               -- Not of this host if it was not before: somebody may have written rows without moving it, as a replay does, and
               -- what this host knows of rows is not true then.
               moved_by = CASE WHEN c.moved_by = pass_lanes.host THEN c.moved_by END
          FROM unnest(free_subscriptions, free_lanes, free_to, free_revisions) AS w (subscription, lane, passed_to, revision)
          JOIN projectionist.subscriptions s ON s.id = w.subscription AND s.xmin::text = w.revision
         WHERE c.subscription = w.subscription AND c.lane = w.lane
           -- Not a version that is held back for the next one of its line.
           AND w.subscription <> ALL (ARRAY(SELECT l.live FROM projectionist.lines l
                                             WHERE l.live IS NOT NULL AND l.handover_until > clock_timestamp()))
        RETURNING c.subscription, c.lane, c.position;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = cardinality(subscriptions) THEN
        RETURN;
    END IF;
    -- Where the others are; those that moved are told twice.
    RETURN QUERY
        SELECT k.subscription, k.lane, k.position
          FROM unnest(subscriptions, lanes, revisions) AS w (subscription, lane, revision)
          JOIN projectionist.subscriptions s ON s.id = w.subscription AND s.xmin::text = w.revision
          JOIN projectionist.checkpoints k ON k.subscription = w.subscription AND k.lane = w.lane;
END $body$;
