-- What the newest module of each says about itself, which is not what is stored until a refresh.
SELECT s.id, m.descriptor
FROM projectionist.subscriptions s
JOIN projectionist.modules m ON m.digest = s.module
ORDER BY s.id
