-- Whether the server still has this session: it sees that a client has gone a moment after the client went.
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity($1::pg_catalog.int4))
