-- The event log: one table, one function that appends to it, and the bell that wakes sleeping hosts.
--
-- An application that appends needs this, and no privilege on the table:
--   GRANT USAGE ON SCHEMA projectionist TO app;
--   GRANT EXECUTE ON FUNCTION projectionist.append(text, bigint, json) TO app;

-- The record of migrations lives in this schema too, so it is there already when a host migrates.
CREATE SCHEMA IF NOT EXISTS projectionist;

COMMENT ON SCHEMA projectionist IS 'The event log and the bookkeeping of Projectionist. Read models live in schemas of their own.';

-- CACHE 1, INCREMENT 1 and NO CYCLE are what the horizon relies on: a number that a transaction took is higher than
-- every number taken before, and its lock on this sequence shows until it ends.
CREATE SEQUENCE projectionist.events_position AS bigint INCREMENT 1 MINVALUE 1 NO CYCLE CACHE 1;

CREATE TABLE projectionist.events (
    position       bigint      NOT NULL DEFAULT pg_catalog.nextval('projectionist.events_position'),
    id             uuid        NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    stream         text        COLLATE pg_catalog."C" NOT NULL,
    version        bigint      NOT NULL,
    type           text        COLLATE pg_catalog."C" NOT NULL,
    -- json, not jsonb: the log is read whole far more often than it is queried, and text is read twice as fast.
    data           json        NOT NULL DEFAULT '{}',
    metadata       json        NOT NULL DEFAULT '{}',
    causation_id   uuid,
    correlation_id uuid,
    tags           text[]      COLLATE pg_catalog."C" NOT NULL DEFAULT '{}',
    recorded_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),

    CONSTRAINT events_pkey PRIMARY KEY (position),
    -- Appending is idempotent by id.
    CONSTRAINT events_id_is_unique UNIQUE (id),
    -- Optimistic concurrency: of two appenders to one stream the second waits here, then loses. Reading one stream is
    -- served by the same index.
    CONSTRAINT events_stream_version_is_unique UNIQUE (stream, version),
    CONSTRAINT events_position_is_positive CHECK (position >= 1),
    CONSTRAINT events_version_is_positive CHECK (version >= 1),
    CONSTRAINT events_stream_is_named CHECK (stream <> ''),
    CONSTRAINT events_stream_has_no_star CHECK (pg_catalog.strpos(stream, '*') = 0),
    CONSTRAINT events_stream_fits_512_bytes CHECK (pg_catalog.octet_length(stream) <= 512),
    CONSTRAINT events_type_is_named CHECK (type <> ''),
    CONSTRAINT events_type_fits_255_bytes CHECK (pg_catalog.octet_length(type) <= 255),
    CONSTRAINT events_data_fits_8_mib CHECK (pg_catalog.octet_length(data::text) <= 8388608),
    CONSTRAINT events_metadata_fits_1_mib CHECK (pg_catalog.octet_length(metadata::text) <= 1048576),
    CONSTRAINT events_metadata_is_an_object CHECK (pg_catalog.json_typeof(metadata) = 'object'),
    CONSTRAINT events_tags_are_a_list CHECK (
        (tags = '{}' OR pg_catalog.array_ndims(tags) = 1) AND pg_catalog.array_position(tags, NULL) IS NULL),
    CONSTRAINT events_tags_fit_2048_bytes CHECK (pg_catalog.octet_length(pg_catalog.array_to_string(tags, '')) <= 2048)
);

ALTER SEQUENCE projectionist.events_position OWNED BY projectionist.events.position;

-- Serves subscriptions that want few of the types. A subscription that wants most of them reads by position.
CREATE INDEX events_by_type ON projectionist.events (type, position);

-- Serves searches by tag. Partial, because untagged events would each cost an entry that nobody looks up; a query by tag
-- has to say "tags <> '{}'" as well, or the index is not used.
CREATE INDEX events_by_tag ON projectionist.events USING gin (tags) WHERE tags <> '{}';

COMMENT ON TABLE projectionist.events IS
    'The event log. Append with projectionist.append(stream, expected_version, events). Rows never change.';
COMMENT ON COLUMN projectionist.events.position IS
    'Place in the global order. Holes are normal. Taken and inserted by the same transaction, or readers may miss the event.';
COMMENT ON COLUMN projectionist.events.id IS 'Appending an id that its stream already has changes nothing.';
COMMENT ON COLUMN projectionist.events.stream IS 'What the event is about, such as account-17. At most 512 bytes, no *.';
COMMENT ON COLUMN projectionist.events.version IS 'Place in its stream, from 1, without holes when appended with append().';
COMMENT ON COLUMN projectionist.events.type IS 'What happened, such as AccountOpened. At most 255 bytes.';
COMMENT ON COLUMN projectionist.events.data IS 'The fact itself, any JSON, kept as it was written. At most 8 MiB.';
COMMENT ON COLUMN projectionist.events.metadata IS 'What is known about the fact, a JSON object. At most 1 MiB.';
COMMENT ON COLUMN projectionist.events.causation_id IS 'The id of the event or command that led to this one.';
COMMENT ON COLUMN projectionist.events.correlation_id IS 'Shared by everything that one request set off.';
COMMENT ON COLUMN projectionist.events.tags IS 'Labels to filter by. Together at most 2048 bytes.';
COMMENT ON COLUMN projectionist.events.recorded_at IS 'When the event was recorded: by default when it was appended.';

COMMENT ON CONSTRAINT events_stream_has_no_star ON projectionist.events IS 'In filters * stands for any ending.';
COMMENT ON CONSTRAINT events_stream_fits_512_bytes ON projectionist.events IS 'A stream name is a key of several indexes.';
COMMENT ON CONSTRAINT events_data_fits_8_mib ON projectionist.events IS
    'Batches are bounded by bytes, and a guest has to hold the whole event. Store larger things elsewhere and refer to them.';
COMMENT ON CONSTRAINT events_tags_fit_2048_bytes ON projectionist.events IS 'A key of a GIN index has to fit a third of a page.';


-- Events are facts: they are never changed or deleted.

CREATE FUNCTION projectionist.refuse_to_change_events() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'events are immutable: % on projectionist.events is refused', TG_OP
        USING ERRCODE = 'PJ003', HINT = 'Append an event that corrects or revokes the earlier one.';
END $body$;

CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON projectionist.events
    FOR EACH STATEMENT EXECUTE FUNCTION projectionist.refuse_to_change_events();

-- ALWAYS: session_replication_role = replica does not switch it off.
ALTER TABLE projectionist.events ENABLE ALWAYS TRIGGER events_are_immutable;


-- The bell. NOTIFY takes a lock at commit that serialises all appenders, so it rings only while some host sleeps.
-- last_value is the server's time, in ms since 1970, until which some host sleeps. A sequence, because every snapshot sees its
-- newest value (a flag in a row loses rings to appenders in REPEATABLE READ) and reading it costs next to nothing.

CREATE SEQUENCE projectionist.bell AS bigint MINVALUE 0 START 0 NO CYCLE CACHE 1;

COMMENT ON SEQUENCE projectionist.bell IS
    'last_value = server time in ms until which some host sleeps and wants to be woken by NOTIFY projectionist_events.';

-- Runs as its owner, so that whoever may insert need not be able to read the bell.
CREATE FUNCTION projectionist.ring_the_bell() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- A transaction that executed NOTIFY cannot be prepared: appenders with two-phase commit silence the bell with
    -- SET LOCAL projectionist.bell = 'off' (or for a role or a database) and hosts find their events at the next tick.
    IF current_setting('projectionist.bell', true) IS DISTINCT FROM 'off'
       AND (SELECT b.last_value FROM projectionist.bell b) > extract(epoch FROM clock_timestamp()) * 1000
    THEN
        PERFORM pg_notify('projectionist_events', '');
    END IF;
    RETURN NULL;
END $body$;

CREATE TRIGGER events_ring_the_bell AFTER INSERT ON projectionist.events
    FOR EACH STATEMENT EXECUTE FUNCTION projectionist.ring_the_bell();


-- Appending.

CREATE TYPE projectionist.new_event AS (
    id uuid, type text, data json, metadata json, causation_id uuid, correlation_id uuid, tags text[], recorded_at timestamptz);

CREATE FUNCTION projectionist.refuse_event(number bigint, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'event %: %', number, reason USING ERRCODE = 'PJ004',
        HINT = 'An event is {"type": text, "data"?: json, "metadata"?: object, "id"?: uuid, "tags"?: [text], '
               '"causation_id"?: uuid, "correlation_id"?: uuid, "recorded_at"?: timestamp with zone}.';
END $body$;

-- Checked by pattern, not by a cast in an exception block: that would be a savepoint for each event.
CREATE FUNCTION projectionist.parse_uuid(number bigint, field text, value json) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    given CONSTANT text := value #>> '{}';
BEGIN
    IF json_typeof(value) = 'null' THEN
        RETURN NULL;
    ELSIF json_typeof(value) <> 'string' OR given !~ '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$' THEN
        PERFORM projectionist.refuse_event(number, format('%s is not a UUID: %s', field, left(value::text, 100)));
    END IF;
    RETURN given::uuid;
END $body$;

-- The pattern and the day of the month leave nothing that the cast refuses.
CREATE FUNCTION projectionist.parse_recorded_at(number bigint, value json) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    given CONSTANT text := value #>> '{}';
BEGIN
    IF json_typeof(value) = 'null' THEN
        RETURN NULL;
    ELSIF json_typeof(value) <> 'string' OR given !~
        '^(?!0000)\d{4}-(0[1-9]|1[012])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)$'
        OR substr(given, 9, 2)::int > extract(day FROM
            make_date(substr(given, 1, 4)::int, substr(given, 6, 2)::int, 1) + interval '1 month' - interval '1 day')
    THEN
        PERFORM projectionist.refuse_event(number, format(
            'recorded_at is not a timestamp with a zone, such as 2011-09-30T22:38:44.546Z: %s', left(value::text, 100)));
    END IF;
    RETURN given::timestamptz;
END $body$;

CREATE FUNCTION projectionist.parse_tags(number bigint, value json) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    tags text[];
BEGIN
    IF json_typeof(value) = 'null' THEN
        RETURN '{}';
    ELSIF json_typeof(value) <> 'array' THEN
        PERFORM projectionist.refuse_event(number, format('tags is not an array but %s', json_typeof(value)));
    ELSIF EXISTS (SELECT FROM json_array_elements(value) e (tag)
                   WHERE json_typeof(e.tag) <> 'string' OR e.tag #>> '{}' = '')
    THEN
        PERFORM projectionist.refuse_event(number, 'tags holds something that is not a text, or is empty');
    END IF;
    SELECT coalesce(array_agg(e.tag ORDER BY e.ordinality), '{}') INTO tags
      FROM json_array_elements_text(value) WITH ORDINALITY e (tag);
    IF octet_length(array_to_string(tags, '')) > 2048 THEN
        PERFORM projectionist.refuse_event(number, 'tags are longer than 2048 bytes together');
    END IF;
    RETURN tags;
END $body$;

CREATE FUNCTION projectionist.parse_event(number bigint, body json) RETURNS projectionist.new_event
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    event projectionist.new_event;
    field record;
BEGIN
    IF json_typeof(body) <> 'object' THEN
        PERFORM projectionist.refuse_event(number, format('not an object but %s', json_typeof(body)));
    ELSIF strpos(body::text, '\u0000') > 0 AND body::text ~ '(^|[^\\])(\\\\)*\\u0000' THEN
        PERFORM projectionist.refuse_event(number, 'it contains the character \u0000, which PostgreSQL cannot hold in a text');
    END IF;
    event.data := '{}';
    event.metadata := '{}';
    event.tags := '{}';
    FOR field IN SELECT f.key, f.value FROM json_each(body) f LOOP
        CASE field.key
            WHEN 'type' THEN
                IF json_typeof(field.value) <> 'string' THEN
                    PERFORM projectionist.refuse_event(number, format('type is not a text but %s', json_typeof(field.value)));
                END IF;
                event.type := field.value #>> '{}';
            WHEN 'data' THEN
                event.data := field.value;
            WHEN 'metadata' THEN
                event.metadata := CASE json_typeof(field.value) WHEN 'null' THEN '{}' ELSE field.value END;
            WHEN 'id' THEN
                event.id := projectionist.parse_uuid(number, 'id', field.value);
            WHEN 'causation_id' THEN
                event.causation_id := projectionist.parse_uuid(number, 'causation_id', field.value);
            WHEN 'correlation_id' THEN
                event.correlation_id := projectionist.parse_uuid(number, 'correlation_id', field.value);
            WHEN 'tags' THEN
                event.tags := projectionist.parse_tags(number, field.value);
            WHEN 'recorded_at' THEN
                event.recorded_at := projectionist.parse_recorded_at(number, field.value);
            ELSE
                -- A misspelt field would otherwise be lost without a word.
                PERFORM projectionist.refuse_event(number, format('unknown field %s', to_json(left(field.key, 100))));
        END CASE;
    END LOOP;
    IF coalesce(event.type, '') = '' THEN
        PERFORM projectionist.refuse_event(number, 'type is missing or empty');
    ELSIF octet_length(event.type) > 255 THEN
        PERFORM projectionist.refuse_event(number, format('type is %s bytes long; the limit is 255', octet_length(event.type)));
    ELSIF octet_length(event.data::text) > 8388608 THEN
        PERFORM projectionist.refuse_event(number, format(
            'data is %s bytes long; the limit is 8388608 (8 MiB)', octet_length(event.data::text)));
    ELSIF json_typeof(event.metadata) <> 'object' THEN
        PERFORM projectionist.refuse_event(number, format('metadata is not an object but %s', json_typeof(event.metadata)));
    ELSIF octet_length(event.metadata::text) > 1048576 THEN
        PERFORM projectionist.refuse_event(number, format(
            'metadata is %s bytes long; the limit is 1048576 (1 MiB)', octet_length(event.metadata::text)));
    END IF;
    event.recorded_at := coalesce(event.recorded_at, clock_timestamp());
    RETURN event;
END $body$;

-- parsed: the events, each with an id; keyed: whether the caller gave any of the ids.
CREATE FUNCTION projectionist.parse_events(
    stream text, expected_version bigint, events json, OUT parsed projectionist.new_event[], OUT keyed boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    element record;
    event projectionist.new_event;
BEGIN
    IF coalesce(stream, '') = '' THEN
        RAISE EXCEPTION 'a stream needs a name' USING ERRCODE = 'PJ004';
    ELSIF strpos(stream, '*') > 0 THEN
        RAISE EXCEPTION 'the stream name % contains *', to_json(left(stream, 100))
            USING ERRCODE = 'PJ004', HINT = 'In filters * stands for any ending, so no stream can be named with it.';
    ELSIF octet_length(stream) > 512 THEN
        RAISE EXCEPTION 'the stream name is % bytes long; the limit is 512', octet_length(stream) USING ERRCODE = 'PJ004';
    ELSIF expected_version < 0 THEN
        RAISE EXCEPTION 'expected version %: it is null for any, 0 for no stream, or the version of the last event', expected_version
            USING ERRCODE = 'PJ004';
    ELSIF events IS NULL OR json_typeof(events) <> 'array' THEN
        RAISE EXCEPTION 'events is not a JSON array but %', coalesce(json_typeof(events), 'missing')
            USING ERRCODE = 'PJ004', HINT = 'Even a single event is given as an array: [{"type": "AccountOpened"}].';
    END IF;
    parsed := '{}';
    keyed := false;
    FOR element IN SELECT e.body, e.ordinality FROM json_array_elements(events) WITH ORDINALITY e (body) LOOP
        event := projectionist.parse_event(element.ordinality, element.body);
        IF event.id IS NULL THEN
            event.id := gen_random_uuid();
        ELSE
            keyed := true;
        END IF;
        parsed := array_append(parsed, event);
    END LOOP;
    IF keyed AND (SELECT count(DISTINCT p.id) FROM unnest(parsed) p) < cardinality(parsed) THEN
        RAISE EXCEPTION 'two of the events have the same id' USING ERRCODE = 'PJ004';
    END IF;
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
-- stays. The bell can only be read by such a scan, which looks costly then and would set off the JIT compiler (90 ms).
CREATE FUNCTION projectionist.append(stream text, expected_version bigint, events json)
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
BEGIN
    SELECT p.parsed, p.keyed INTO given, keyed FROM projectionist.parse_events(stream, expected_version, events) p;
    IF cardinality(given) = 0 THEN
        RETURN;
    END IF;
    fresh := given;

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

COMMENT ON FUNCTION projectionist.append IS
    'Appends a JSON array of events to a stream. expected_version: null any, 0 no stream, n exactly. PJ001 another version, '
    'PJ002 id taken by another event, PJ004 malformed event.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA projectionist FROM PUBLIC;
