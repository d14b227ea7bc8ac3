SELECT pj_batch.take_and_advance($1, $2, $3, $4, $5, $6, $7, $8) AS it
