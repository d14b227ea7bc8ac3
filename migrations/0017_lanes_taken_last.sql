-- A small batch at the head takes its lane only where it ends. Until then it presumes that all is as the last batch of its host left it,
-- and has nothing open; so one statement takes the lane, finds out whether that is so, moves the checkpoint and writes the rows.
--
-- `left_at` is where that batch ended. Since then the host may have moved the checkpoint as far as `passed_to`, past events that the guest
-- does not want. Whoever else wrote rows of the guest moved the checkpoint, or is named as the one who did. `revision` is that of the row of
-- the subscription which the host goes by.
CREATE OR REPLACE FUNCTION pj_batch.take_and_advance(
    lane integer, left_at bigint, passed_to bigint, new_position bigint, host uuid, revision text, subscription text, proof bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'take-and-advance', lane, left_at, passed_to, new_position, host, revision, pg_backend_pid()), subscription, proof);
BEGIN
    -- Never waits for somebody who has the lane: he may wait for rows that this statement writes.
    PERFORM FROM projectionist.checkpoints c
      WHERE c.subscription = mine AND c.lane = take_and_advance.lane
        AND c.moved_by = host AND c.position BETWEEN left_at AND passed_to
        FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        -- In a later statement: everything else as it is now that the lane is taken. A failure is another batch's to deal with, and so is a
        -- version that is held back for the next one of its line.
        UPDATE projectionist.checkpoints c
           SET position = new_position, moved_at = clock_timestamp()
          FROM projectionist.subscriptions s
         WHERE c.subscription = mine AND c.lane = take_and_advance.lane AND s.id = mine AND s.xmin::text = revision
           AND NOT EXISTS (SELECT FROM projectionist.lane_errors e WHERE e.subscription = mine AND e.lane = take_and_advance.lane)
           AND NOT EXISTS (SELECT FROM projectionist.lines l
                            WHERE l.line = s.line AND l.live = s.id AND l.handover_until > clock_timestamp());
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lane is not as its host left it' USING ERRCODE = 'PJ012';
    END IF;
    RETURN true;
END $body$;
