SELECT pj_batch.mark_replayed($1, $2, $3)
