-- An event that comes alone, while hosts sleep, is told to them along with the ring: they need not look for it. NOTIFY is delivered when its
-- transaction has committed and can be seen, and where no number is missing below the event nothing else can come before it.

-- On a channel of its own, whose name is known to hosts alone: anybody may listen to any channel that he knows, and notify it.
CREATE TABLE projectionist.ring (
    channel    text NOT NULL,
    is_the_one boolean PRIMARY KEY DEFAULT true CONSTRAINT ring_has_one_row CHECK (is_the_one)
);

COMMENT ON TABLE projectionist.ring IS
    'The channel on which hosts hear events that come while they sleep. Who may read it can read those events, and forge them.';

REVOKE ALL ON projectionist.ring FROM PUBLIC;

INSERT INTO projectionist.ring (channel) VALUES ('projectionist_' || replace(gen_random_uuid()::text, '-', ''));

-- Says the event at a position as the log has it; `look` where it does not fit in a notification, whose limit is 8000 bytes. Listeners of
-- the other channel hear `said`, with which they may do what they do with any ring.
CREATE FUNCTION projectionist.say(said_position bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    said text;
BEGIN
    -- Texts of JSON within a text: they come out as they were written.
    SELECT json_build_array(e.position, e.id, e.stream, e.version, e.type, (extract(epoch FROM e.recorded_at) * 1000000)::bigint,
                            e.data::text, e.metadata::text, e.causation_id, e.correlation_id, to_json(e.tags))::text INTO said
      FROM projectionist.events e WHERE e.position = said_position AND isfinite(e.recorded_at);
    IF said_position IS NOT NULL THEN
        PERFORM pg_notify(r.channel, CASE WHEN octet_length(said) < 8000 THEN said ELSE 'look' END),
                pg_notify('projectionist_events', 'said')
           FROM projectionist.ring r WHERE r.is_the_one;
    END IF;
END $body$;

-- Runs as its owner, so that whoever may insert need not be able to read the bell.
CREATE OR REPLACE FUNCTION projectionist.ring_the_bell() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- A transaction that executed NOTIFY cannot be prepared: appenders with two-phase commit silence the bell with
    -- SET LOCAL projectionist.bell = 'off' (or for a role or a database) and hosts find their events at the next tick.
    -- The function answers null while nobody has ever armed the bell, and as every reader of a sequence it sees its newest value.
    IF current_setting('projectionist.bell', true) IS DISTINCT FROM 'off'
       AND pg_sequence_last_value('projectionist.bell'::regclass) > date_part('epoch', clock_timestamp()) * 1000
       -- Who appends says what it was.
       AND current_setting('projectionist.saying', true) IS DISTINCT FROM 'on'
    THEN
        PERFORM pg_notify('projectionist_events', '');
    END IF;
    RETURN NULL;
END $body$;

-- Appends events to a stream and returns, in their order, where they are.
--
-- expected_version: null for any, 0 for no stream, n for exactly n; a mismatch raises PJ001. An event whose id the stream
-- already has is not appended again, so a call can be repeated when its answer was lost; the expected version is checked
-- only if something is new.
--
-- Appenders are never serialised, except on one stream, where the second waits for the first as the unique index makes
-- it. There is no global lock, no advisory lock and no savepoint: the first new event goes in with ON CONFLICT DO NOTHING,
-- and whoever inserted version n owns the stream until it ends, so the others follow in one statement.
--
-- Runs as its owner, so that applications need no right to write the table: a number must be inserted by the transaction
-- that took it, and only this function is known to do so.
--
-- Sequential scans are off because plans are cached: one made while the log was small would be kept by a connection that
-- stays. What can only be read by such a scan looks costly then, and would set off the JIT compiler (90 ms).
CREATE OR REPLACE FUNCTION projectionist.append(stream text, expected_version bigint, events json)
RETURNS TABLE ("position" bigint, id uuid, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $body$
#variable_conflict use_column
DECLARE
    given projectionist.new_event[];
    keyed boolean;
    fresh projectionist.new_event[];
    other record;
    last_version bigint;
    -- A single event is said to hosts that sleep. Otherwise the trigger rings, if they do.
    says boolean := current_setting('projectionist.bell', true) IS DISTINCT FROM 'off'
        AND pg_sequence_last_value('projectionist.bell'::regclass) > date_part('epoch', clock_timestamp()) * 1000;
BEGIN
    SELECT p.parsed, p.keyed INTO given, keyed FROM projectionist.parse_events(stream, expected_version, events) p;
    IF cardinality(given) = 0 THEN
        RETURN;
    END IF;
    fresh := given;
    says := says AND cardinality(given) = 1;
    IF says THEN
        PERFORM set_config('projectionist.saying', 'on', true);
    END IF;

    -- An event lost in a crash after somebody saw it would give its number to another event.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    LOOP
        IF keyed THEN
            SELECT g.id, e.stream, e.type, g.type AS given_type INTO other
              FROM unnest(given) g JOIN projectionist.events e ON e.id = g.id
             WHERE e.stream <> append.stream OR e.type <> g.type
             LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'the id % belongs to another event: % in stream %, not % in stream %', other.id,
                    to_json(other.type), to_json(other.stream), to_json(other.given_type), to_json(append.stream)
                    USING ERRCODE = 'PJ002', HINT = 'Give every event an id of its own, or none.';
            END IF;

            SELECT array_agg(ROW (g.id, g.type, g.data, g.metadata, g.causation_id, g.correlation_id, g.tags, g.recorded_at)
                             ::projectionist.new_event ORDER BY g.ordinality) INTO fresh
              FROM unnest(given) WITH ORDINALITY g
             WHERE NOT EXISTS (SELECT FROM projectionist.events e WHERE e.id = g.id);
            EXIT WHEN fresh IS NULL;
        END IF;

        SELECT coalesce(max(e.version), 0) INTO last_version FROM projectionist.events e WHERE e.stream = append.stream;
        IF last_version <> expected_version THEN
            RAISE EXCEPTION 'stream % is at version %, expected was version %',
                to_json(append.stream), last_version, expected_version
                USING ERRCODE = 'PJ001', HINT = 'Read the stream again, decide again, and append with its present version.';
        END IF;

        INSERT INTO projectionist.events AS e
               (id, stream, version, type, data, metadata, causation_id, correlation_id, tags, recorded_at)
        SELECT f.id, append.stream, last_version + 1, f.type, f.data, f.metadata,
               f.causation_id, f.correlation_id, f.tags, f.recorded_at
          FROM unnest(fresh[1:1]) f
            ON CONFLICT DO NOTHING
        RETURNING e.position, e.id, e.version INTO position, id, version;
        EXIT WHEN FOUND;

        -- Another appender to the stream won. Look again, unless this transaction's snapshot will never show what it wrote.
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'could not serialize access: stream % was appended to at the same time', to_json(append.stream)
                USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;

    IF says THEN
        PERFORM set_config('projectionist.saying', '', true), projectionist.say(position);
    END IF;
    IF cardinality(given) = 1 AND position IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    IF cardinality(fresh) > 1 THEN
        INSERT INTO projectionist.events
               (id, stream, version, type, data, metadata, causation_id, correlation_id, tags, recorded_at)
        SELECT f.id, append.stream, last_version + f.ordinality, f.type, f.data, f.metadata,
               f.causation_id, f.correlation_id, f.tags, f.recorded_at
          FROM unnest(fresh) WITH ORDINALITY f
         WHERE f.ordinality > 1
         ORDER BY f.ordinality;
    END IF;

    RETURN QUERY
        SELECT e.position, e.id, e.version
          FROM unnest(given) WITH ORDINALITY g JOIN projectionist.events e ON e.id = g.id
         ORDER BY g.ordinality;
END $body$;

REVOKE ALL ON FUNCTION projectionist.say(bigint) FROM PUBLIC;
