-- A later snapshot than the one that saw the positions: whoever sees everything below its xmax sees the challenger there too.
UPDATE projectionist.lines
SET handover_since = pg_catalog.clock_timestamp(),
    handover_xmax = pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
WHERE line = $1 AND challenger = $2 AND handover_by = $3 AND handover_until > pg_catalog.clock_timestamp()
