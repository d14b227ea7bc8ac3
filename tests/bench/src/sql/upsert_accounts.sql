-- Rows and checkpoint in one statement: one round trip, and exactly once.
WITH written AS (
    INSERT INTO account (id, owner, balance, open, last_position)
    SELECT u.id, u.owner, u.balance, u.open, u.last_position
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[]) AS u (id, owner, balance, open, last_position)
    ON CONFLICT (id) DO UPDATE
    SET owner = excluded.owner, balance = excluded.balance, open = excluded.open, last_position = excluded.last_position
)
UPDATE checkpoint SET position = $7 WHERE position = $6
