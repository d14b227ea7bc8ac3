UPDATE projectionist.lines
SET challenger = NULL, handover_by = NULL, handover_until = NULL, handover_since = NULL, handover_xmax = NULL
WHERE line = $1 AND handover_by = $2
