-- A small batch at the head moves its checkpoint by the statement that takes the lane: to lock the row first writes it twice. What has to be
-- so beside is found out afterwards, in a later statement, and undoes all of it if it is not.

-- Whether nobody waits any more who waits for this transaction, which is what a row says of who locked it: had it ended when the statement
-- began? It knows its last 32 bits. What is none, as a number that stands for several transactions, may be taken for one that has.
CREATE FUNCTION projectionist.has_ended(locker xid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $body$
DECLARE
    at_first CONSTANT pg_snapshot := pg_current_snapshot();
    before CONSTANT bigint := (pg_snapshot_xmax(at_first)::text::bigint - locker::text::bigint) & 4294967295;
BEGIN
    -- What looks like two thousand million transactions ago is one that began since.
    RETURN before BETWEEN 1 AND 2147483647
       AND NOT EXISTS (SELECT FROM pg_snapshot_xip(at_first) AS open (id)
                        WHERE open.id::text::bigint & 4294967295 = locker::text::bigint);
END $body$;

CREATE OR REPLACE FUNCTION pj_batch.take_and_advance(
    lane integer, left_at bigint, passed_to bigint, new_position bigint, host uuid, revision text, subscription text, proof bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'take-and-advance', lane, left_at, passed_to, new_position, host, revision, pg_backend_pid()), subscription, proof);
BEGIN
    -- Does not wait for somebody who has the lane: he may wait for rows that this statement writes. He shows as `xmax`, which is zero where
    -- nobody locked the row since it was written, and `xmin` where nobody did but who wrote it. Who comes between this look and the update is
    -- waited for after all; should he wait for us as well, the server ends one of the two, which is tried again.
    UPDATE projectionist.checkpoints c
       SET position = new_position, moved_at = clock_timestamp()
     WHERE c.subscription = mine AND c.lane = take_and_advance.lane
       AND c.moved_by = host AND c.position BETWEEN left_at AND passed_to
       AND (c.xmax = '0'::xid OR c.xmax = c.xmin OR projectionist.has_ended(c.xmax));
    IF FOUND THEN
        -- Everything else as it is now that the lane is taken. A failure is another batch's to deal with, and so is a version that is held back
        -- for the next one of its line.
        PERFORM FROM projectionist.subscriptions s
          WHERE s.id = mine AND s.xmin::text = revision
            AND NOT EXISTS (SELECT FROM projectionist.lane_errors e WHERE e.subscription = mine AND e.lane = take_and_advance.lane)
            AND NOT EXISTS (SELECT FROM projectionist.lines l
                             WHERE l.line = s.line AND l.live = s.id AND l.handover_until > clock_timestamp());
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lane is not as its host left it' USING ERRCODE = 'PJ012';
    END IF;
    RETURN true;
END $body$;
