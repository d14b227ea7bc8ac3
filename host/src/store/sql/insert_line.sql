INSERT INTO projectionist.lines (line, kind) VALUES ($1, $2) ON CONFLICT (line) DO NOTHING
