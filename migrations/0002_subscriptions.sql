-- What the host knows of its guests. Operators change rows of `subscriptions`; batches change rows of `checkpoints`.
-- The two are apart so that a long batch never blocks an operator.

CREATE TABLE projectionist.modules (
    digest     bytea PRIMARY KEY,
    bytes      bytea NOT NULL,
    descriptor json NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT digest_is_sha256 CHECK (pg_catalog.octet_length(digest) = 32)
);
COMMENT ON TABLE projectionist.modules IS 'The bytes of every guest that was ever taken up, by SHA-256: a subscription runs and is torn down without its file.';
-- Components are hardly compressible and are read whole.
ALTER TABLE projectionist.modules ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE projectionist.subscriptions (
    id             text COLLATE "C" PRIMARY KEY,
    line           text COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    kind           text NOT NULL,
    group_name     text NOT NULL,
    run_mode       text NOT NULL,
    start_position bigint NOT NULL,
    boot_until     bigint,
    status         text NOT NULL DEFAULT 'New',
    resume         text,
    status_since   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    generation     integer NOT NULL DEFAULT 1,
    descriptor     json NOT NULL,
    settings       json NOT NULL DEFAULT '{}',
    module         bytea NOT NULL REFERENCES projectionist.modules,
    registered_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT id_fits CHECK (id ~ '^[a-z][a-z0-9_]{0,62}$'),
    CONSTRAINT one_version_of_a_line UNIQUE (line, version),
    CONSTRAINT kind_known CHECK (kind IN ('projector', 'processor')),
    CONSTRAINT run_mode_known CHECK (run_mode IN ('from-beginning', 'from-now', 'once', 'from-position')),
    CONSTRAINT start_position_not_negative CHECK (start_position >= 0),
    CONSTRAINT status_known CHECK (status IN ('New', 'Booting', 'Active', 'Finished', 'Paused', 'Error', 'Detached')),
    CONSTRAINT resume_known CHECK (resume IN ('New', 'Booting', 'Active')),
    CONSTRAINT resume_where_it_is_needed CHECK ((status IN ('Paused', 'Error', 'Detached')) = (resume IS NOT NULL)),
    CONSTRAINT finished_was_once CHECK (status <> 'Finished' OR run_mode = 'once')
);
COMMENT ON COLUMN projectionist.subscriptions.start_position IS 'Exclusive. Fixed at registration: from-now means the horizon of that moment, however long setup takes.';
COMMENT ON COLUMN projectionist.subscriptions.boot_until IS 'Run mode once: the horizon when booting began; reaching it finishes the subscription.';
COMMENT ON COLUMN projectionist.subscriptions.resume IS 'Where Paused, Error and Detached go on.';

CREATE TABLE projectionist.checkpoints (
    subscription text COLLATE "C" NOT NULL REFERENCES projectionist.subscriptions ON DELETE CASCADE,
    lane         integer NOT NULL,
    position     bigint NOT NULL,
    moved_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    moved_by     uuid,
    PRIMARY KEY (subscription, lane),
    CONSTRAINT lane_not_negative CHECK (lane >= 0),
    CONSTRAINT position_not_negative CHECK (position >= 0)
-- Every batch updates its row: room on the page keeps the updates off the index.
) WITH (fillfactor = 20);
COMMENT ON TABLE projectionist.checkpoints IS 'Everything up to position is handled, filtered out, skipped or dead. The lock on a row is the lease of its lane.';

CREATE TABLE projectionist.lane_errors (
    subscription  text COLLATE "C" NOT NULL,
    lane          integer NOT NULL,
    class         text NOT NULL,
    message       text NOT NULL,
    position      bigint,
    event_type    text,
    module        bytea NOT NULL,
    backtrace     text,
    output        text,
    attempts      integer NOT NULL,
    retry_context text,
    failed_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    retry_at      timestamptz,
    PRIMARY KEY (subscription, lane),
    FOREIGN KEY (subscription, lane) REFERENCES projectionist.checkpoints ON DELETE CASCADE,
    CONSTRAINT attempts_not_negative CHECK (attempts >= 0)
);
COMMENT ON COLUMN projectionist.lane_errors.attempts IS 'Failures so far at this event. The row goes when a batch commits past the event.';
COMMENT ON COLUMN projectionist.lane_errors.retry_at IS 'By the clock of this server. Null: no retry is due, an operator must act.';

CREATE TABLE projectionist.skipped_events (
    subscription text COLLATE "C" NOT NULL REFERENCES projectionist.subscriptions ON DELETE CASCADE,
    position     bigint NOT NULL,
    generation   integer NOT NULL,
    skipped_by   text NOT NULL,
    reason       text NOT NULL,
    skipped_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (subscription, generation, position),
    CONSTRAINT skipped_by_known CHECK (skipped_by IN ('guest', 'operator'))
);

CREATE TABLE projectionist.hosts (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    modules    text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE projectionist.hosts IS 'Who runs. No lease hangs on it: it tells status what is alive, and whether another host still has a file.';

CREATE TABLE projectionist.host_files (
    host         uuid NOT NULL REFERENCES projectionist.hosts ON DELETE CASCADE,
    file         text NOT NULL,
    digest       bytea,
    subscription text COLLATE "C",
    refusal      text,
    since        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (host, file)
);
COMMENT ON TABLE projectionist.host_files IS 'What each host found in its directory: the subscription that a file holds, or why the file was refused.';
