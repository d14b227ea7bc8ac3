-- A skipped event that was handed to its processor after all.

ALTER TABLE projectionist.skipped_events ADD COLUMN replayed_at timestamptz;
COMMENT ON COLUMN projectionist.skipped_events.replayed_at IS
    'When its processor handled the event after all. Null: its effects are missing.';

CREATE OR REPLACE FUNCTION pj_batch.mark_replayed("position" bigint, subscription text, proof bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    mine CONSTANT text := projectionist.proven(
        concat_ws('|', 'replayed', position, projectionist.this_transaction()), subscription, proof);
BEGIN
    UPDATE projectionist.skipped_events e SET replayed_at = clock_timestamp()
     WHERE e.subscription = mine AND e.position = mark_replayed.position AND e.replayed_at IS NULL;
END $body$;

-- Where a subscription that runs once is finished is fixed outside of its batch now: inside it locked the row, and operators out,
-- until the batch ended.
DROP FUNCTION pj_batch.fix_boot_until(bigint, text, bytea);
