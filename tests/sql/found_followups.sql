SELECT stream, causation_id, correlation_id, data ->> 'offer_position' AS offer_position
FROM projectionist.events
WHERE type = 'FollowUpPlanned'
