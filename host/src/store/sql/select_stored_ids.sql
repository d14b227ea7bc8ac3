SELECT e.id, e.stream, e.type FROM projectionist.events e WHERE e.id = ANY ($1)
