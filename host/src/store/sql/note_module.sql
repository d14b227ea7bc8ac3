UPDATE projectionist.modules SET imports = $2, compile_ms = coalesce(compile_ms, $3) WHERE digest = $1
