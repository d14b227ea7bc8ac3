SELECT bytes FROM projectionist.modules WHERE digest = $1
