SELECT lane FROM projectionist.checkpoints WHERE subscription = $1 AND lane = $2 FOR KEY SHARE
