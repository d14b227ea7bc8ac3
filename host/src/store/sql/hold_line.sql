SELECT l.line FROM projectionist.lines l WHERE l.line = $1 FOR UPDATE
