-- Only what was committed: the checkpoint has passed it, and no later batch began before its end.
SELECT r.subscription, pg_catalog.sum(r.events)::bigint AS events, pg_catalog.sum(r.log_lines)::bigint AS log_lines,
       pg_catalog.sum(r.took_ms)::bigint AS took_ms,
       (pg_catalog.array_agg(r.last_lines ORDER BY r.from_position DESC) FILTER (WHERE r.last_lines <> ''))[1] AS last_lines
FROM projectionist.reports r
JOIN projectionist.subscriptions s ON s.id = r.subscription AND s.generation = r.generation
JOIN projectionist.checkpoints c ON c.subscription = r.subscription AND c.position >= r.to_position
WHERE ($1::text IS NULL OR r.subscription = $1)
  AND NOT EXISTS (SELECT FROM projectionist.reports q
                  WHERE q.subscription = r.subscription AND q.generation = r.generation
                    AND q.from_position > r.from_position AND q.from_position < r.to_position)
GROUP BY r.subscription
