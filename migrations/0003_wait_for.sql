-- For application code that has to read its own write. An application's role needs, besides USAGE on the schema:
--   GRANT EXECUTE ON FUNCTION projectionist.wait_for(bigint, interval, text[]) TO app;

CREATE FUNCTION projectionist.behind(up_to bigint, ids text[])
RETURNS TABLE (id text, stands text, reached_position bigint, stopped boolean)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $body$
    -- A New subscription has a checkpoint and no tables yet, so it is behind wherever it begins.
    SELECT s.id, s.status || coalesce('(' || s.resume || ')', ''), c.position,
           s.status IN ('Paused', 'Error', 'Detached', 'Finished')
      FROM projectionist.subscriptions s
      JOIN (SELECT subscription, min(position) AS position FROM projectionist.checkpoints GROUP BY subscription) c
        ON c.subscription = s.id
     WHERE (c.position < behind.up_to OR s.status = 'New' OR s.resume = 'New')
       AND CASE WHEN behind.ids IS NULL
                -- What a later version replaced, and what is done for good, holds no writer up unless he names it.
                THEN s.descriptor ->> 'consistency' = 'strong' AND s.status NOT IN ('Detached', 'Finished')
                ELSE s.id = ANY (behind.ids) END
$body$;
COMMENT ON FUNCTION projectionist.behind IS
    'Subscriptions that have not dealt with everything up to a position, and whether they stand still. Part of wait_for.';

CREATE FUNCTION projectionist.wait_for(
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
    SELECT wanted INTO unknown FROM unnest(wait_for.ids) wanted
     WHERE NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.id = wanted COLLATE "C")
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'no subscription has the id %', unknown
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

COMMENT ON FUNCTION projectionist.wait_for IS
    'Waits until subscriptions have dealt with everything up to a position: true, or false after the timeout. ids null: those '
    'whose guests are marked strong. Not in the transaction that appended: commit first. PJ005: unknown id, or one that is '
    'paused, in error, detached or finished before the position.';

REVOKE ALL ON FUNCTION projectionist.behind(bigint, text[]), projectionist.wait_for(bigint, interval, text[]) FROM PUBLIC;
