SELECT pg_catalog.pg_notify('projectionist_control', '')
