SELECT pj_batch.empty_schema($1, $2)
