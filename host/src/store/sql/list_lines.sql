SELECT l.line, l.kind, l.live, l.live_since, l.wanted, l.wanted_since, l.wanted_from, l.challenger,
       l.challenger IS NOT NULL AND coalesce(l.handover_until > pg_catalog.clock_timestamp(), false) AS handing_over,
       l.obstacle, l.obstacle_since
FROM projectionist.lines l
WHERE $1::text IS NULL OR l.line = $1
ORDER BY l.line
