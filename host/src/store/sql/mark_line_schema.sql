UPDATE projectionist.lines SET has_schema = true WHERE line = $1
