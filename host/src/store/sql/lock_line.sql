SELECT l.live, l.wanted, l.kind,
       l.challenger IS NOT DISTINCT FROM $2 AND l.handover_by IS NOT DISTINCT FROM $3
       AND coalesce(l.handover_until > pg_catalog.clock_timestamp(), false) AND l.handover_since IS NOT NULL AS in_hand
FROM projectionist.lines l
WHERE l.line = $1
FOR UPDATE SKIP LOCKED
