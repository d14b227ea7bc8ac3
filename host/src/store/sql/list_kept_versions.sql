SELECT s.id, l.live, l.line,
       (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - coalesce(s.left_live_at, s.status_since)) * 1000)::bigint AS age_ms
FROM projectionist.subscriptions s
JOIN projectionist.lines l ON l.line = s.line
JOIN projectionist.subscriptions v ON v.id = l.live
WHERE s.status = 'Detached' AND s.version < v.version AND l.wanted IS DISTINCT FROM s.id
ORDER BY l.line, s.version
