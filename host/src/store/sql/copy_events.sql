COPY projectionist.events (id, stream, version, type, data, metadata, causation_id, correlation_id, tags, recorded_at)
FROM STDIN (FORMAT binary)
