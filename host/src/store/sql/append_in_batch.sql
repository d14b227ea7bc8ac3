SELECT a.position, a.id, a.version FROM pj_batch.append($1, $2, $3, $4, $5) a
