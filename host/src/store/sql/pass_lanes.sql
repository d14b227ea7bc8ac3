-- A lane whose lock somebody holds is in a batch and needs no help; a version that is held back for the next one of its line has
-- to wait. Nobody waits for the disk: what is lost in a crash is
-- passed again.
WITH wanted AS (
    SELECT w.subscription, w.lane, w.passed_from, w.passed_to, w.revision
    FROM (SELECT pg_catalog.set_config('synchronous_commit', 'off', true)) AS soon
    CROSS JOIN ROWS FROM (
        pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::int8[]),
        pg_catalog.unnest($4::int8[]), pg_catalog.unnest($5::text[])
    ) AS w (subscription, lane, passed_from, passed_to, revision)
), free AS (
    SELECT k.subscription, k.lane, w.passed_to
    FROM wanted AS w
    JOIN projectionist.checkpoints AS k
        ON k.subscription = w.subscription AND k.lane = w.lane AND k.position = w.passed_from
    JOIN projectionist.subscriptions AS s ON s.id = k.subscription AND s.xmin::text = w.revision
    WHERE NOT EXISTS (
        SELECT FROM projectionist.lines AS l WHERE l.live = s.id AND l.handover_until > pg_catalog.clock_timestamp()
    )
    FOR UPDATE OF k SKIP LOCKED
), moved AS (
    UPDATE projectionist.checkpoints AS c
    SET position = f.passed_to, moved_at = pg_catalog.clock_timestamp(),
        -- Not of this host if it was not before: somebody may have written rows without moving it, as a replay does, and what
        -- this host knows of rows is not true then.
        moved_by = CASE WHEN c.moved_by = $6 THEN $6 END
    FROM free AS f
    WHERE c.subscription = f.subscription AND c.lane = f.lane
    RETURNING c.subscription, c.lane, c.position
)
SELECT k.subscription, k.lane, coalesce(m.position, k.position) AS position
FROM wanted AS w
JOIN projectionist.checkpoints AS k ON k.subscription = w.subscription AND k.lane = w.lane
JOIN projectionist.subscriptions AS s ON s.id = k.subscription AND s.xmin::text = w.revision
LEFT JOIN moved AS m ON m.subscription = k.subscription AND m.lane = k.lane
