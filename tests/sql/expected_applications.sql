-- One row an application, computed from the log alone.
SELECT substr(stream, 13) AS id,
       substr((array_agg(type ORDER BY position DESC) FILTER (WHERE type LIKE 'A\_%'))[1], 3) AS state,
       max((data ->> 'amount_requested')::bigint) AS amount_requested,
       count(*) FILTER (WHERE type = 'O_CREATED') AS offers,
       (array_agg(recorded_at ORDER BY position))[1] AS first_event_at,
       (array_agg(recorded_at ORDER BY position DESC))[1] AS last_event_at
FROM projectionist.events
WHERE stream LIKE 'application-%'
GROUP BY stream
