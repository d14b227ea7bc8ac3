SELECT pj_batch.begin_generation($1, $2, $3)
