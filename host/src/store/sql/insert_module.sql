INSERT INTO projectionist.modules (digest, bytes, descriptor)
VALUES ($1, $2, $3)
ON CONFLICT (digest) DO NOTHING
