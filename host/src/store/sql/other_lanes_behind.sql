SELECT EXISTS (
    SELECT FROM projectionist.checkpoints WHERE subscription = $1 AND lane <> $2 AND position < $3
)
