-- Events for each activity and day, computed from the log alone.
SELECT data ->> 'activity' AS activity, (recorded_at AT TIME ZONE 'UTC')::date AS day, count(*) AS events
FROM projectionist.events
WHERE stream LIKE 'application-%'
GROUP BY 1, 2
