-- Whether to ring is found out by an expression that needs no query of its own: in an appender that is warm, 0.6 us and not 4.7.

-- Runs as its owner, so that whoever may insert need not be able to read the bell.
CREATE OR REPLACE FUNCTION projectionist.ring_the_bell() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- A transaction that executed NOTIFY cannot be prepared: appenders with two-phase commit silence the bell with
    -- SET LOCAL projectionist.bell = 'off' (or for a role or a database) and hosts find their events at the next tick.
    -- The function answers null while nobody has ever armed the bell, and as every reader of a sequence it sees its newest value.
    IF current_setting('projectionist.bell', true) IS DISTINCT FROM 'off'
       AND pg_sequence_last_value('projectionist.bell'::regclass) > date_part('epoch', clock_timestamp()) * 1000
    THEN
        PERFORM pg_notify('projectionist_events', '');
    END IF;
    RETURN NULL;
END $body$;
