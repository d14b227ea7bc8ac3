SELECT pj_batch.empty_line($1, $2)
