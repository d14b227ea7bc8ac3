SELECT pj_batch.point_line($1, $2)
