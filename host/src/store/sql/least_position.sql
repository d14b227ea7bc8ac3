SELECT min(position) FROM projectionist.checkpoints WHERE subscription = $1
