-- One follow-up for each offer that was sent, caused by it.
SELECT 'followup-' || substr(stream, 13) AS stream, id AS causation_id, id AS correlation_id,
       position::text AS offer_position
FROM projectionist.events
WHERE type = 'O_SENT'
