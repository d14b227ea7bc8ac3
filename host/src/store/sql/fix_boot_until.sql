SELECT pj_batch.fix_boot_until($1, $2, $3)
