DELETE FROM projectionist.host_files WHERE host = $1 AND file <> ALL ($2)
