-- What is known of a module besides its bytes, and modules that an operator keeps although nothing runs them.
ALTER TABLE projectionist.modules
    ADD COLUMN imports text[] NOT NULL DEFAULT '{}',
    ADD COLUMN compile_ms bigint,
    ADD COLUMN pinned_at timestamptz;
COMMENT ON COLUMN projectionist.modules.compile_ms IS 'On the host that took it up, which may have had it compiled already.';
COMMENT ON COLUMN projectionist.modules.pinned_at IS 'Kept since then, whether a subscription refers to it or not.';
