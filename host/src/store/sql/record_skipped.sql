SELECT pj_batch.record_skipped($1, $2, $3, $4, $5)
