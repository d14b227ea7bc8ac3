-- What guests that run once have done: a report or a migration is read when it is finished, so it has to say what it came to.

CREATE TABLE projectionist.reports (
    subscription  text COLLATE "C" NOT NULL REFERENCES projectionist.subscriptions ON DELETE CASCADE,
    generation    integer NOT NULL,
    from_position bigint NOT NULL,
    to_position   bigint NOT NULL,
    events        bigint NOT NULL,
    log_lines     bigint NOT NULL,
    last_lines    text NOT NULL,
    took_ms       bigint NOT NULL,
    written_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (subscription, generation, from_position),
    CONSTRAINT goes_forward CHECK (to_position >= from_position)
);
COMMENT ON TABLE projectionist.reports IS
    'One row for each batch of a guest that runs once, written before the batch commits. It counts when the checkpoint has come as far '
    'and no other batch began in between: what was rolled back and tried again is then not counted twice.';
