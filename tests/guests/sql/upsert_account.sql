INSERT INTO account AS a (id, owner, balance, open, last_position) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE
SET owner = CASE excluded.owner WHEN '' THEN a.owner ELSE excluded.owner END, balance = a.balance + excluded.balance,
    open = excluded.open, last_position = excluded.last_position
