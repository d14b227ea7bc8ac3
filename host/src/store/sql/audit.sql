SELECT a.refused FROM pj_batch.audit() a
