-- More subscriptions of the kind of `waits_aa_1`, without a file: a host runs them from the stored bytes.
CREATE TEMPORARY TABLE copies AS
SELECT 'waits_n' || number AS line, 'waits_n' || number || '_1' AS id FROM generate_series(1, {copies}) AS number;

INSERT INTO projectionist.lines (line, kind) SELECT line, 'projector' FROM copies;

INSERT INTO projectionist.subscriptions
SELECT (json_populate_record(s, json_build_object('id', c.id, 'line', c.line, 'status', 'New', 'descriptor',
        replace(s.descriptor::text, s.id, c.id)::json))).*
FROM projectionist.subscriptions s, copies c
WHERE s.id = 'waits_aa_1';
-- One step after the other, as the rules want it.
UPDATE projectionist.subscriptions s SET status = 'Booting' FROM copies c WHERE c.id = s.id;
UPDATE projectionist.subscriptions s SET status = 'Active' FROM copies c WHERE c.id = s.id;

INSERT INTO projectionist.checkpoints (subscription, lane, position, moved_at, moved_by)
SELECT c.id, k.lane, k.position, k.moved_at, k.moved_by
FROM projectionist.checkpoints k, copies c
WHERE k.subscription = 'waits_aa_1';

UPDATE projectionist.lines l SET live = c.id, live_since = clock_timestamp() FROM copies c WHERE c.line = l.line;
