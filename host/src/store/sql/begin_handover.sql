-- One host at a time, and only as long as it says that it is alive.
UPDATE projectionist.lines
SET challenger = $3, handover_by = $4, handover_until = pg_catalog.clock_timestamp() + $5 * interval '1 millisecond',
    handover_since = NULL, handover_xmax = NULL
WHERE line = $1 AND live IS NOT DISTINCT FROM $2
  AND (handover_until IS NULL OR handover_until < pg_catalog.clock_timestamp() OR handover_by = $4)
