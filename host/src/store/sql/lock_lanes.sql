SELECT lane FROM projectionist.checkpoints WHERE subscription = $1 ORDER BY lane FOR UPDATE
