-- Not when it has run out: the live version may have gone past the challenger since then.
UPDATE projectionist.lines
SET handover_until = pg_catalog.clock_timestamp() + $4 * interval '1 millisecond'
WHERE line = $1 AND challenger = $2 AND handover_by = $3 AND handover_until > pg_catalog.clock_timestamp()
