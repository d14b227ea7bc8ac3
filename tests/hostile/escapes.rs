//! The statements by which a guest might get out of its tables, and the wall that each of them meets.

/// A statement that a guest tries, and which of the walls it meets.
pub struct Escape {
    pub sin: &'static str,
    pub sql: &'static str,
    pub wall: &'static Wall,
}

/// A wall: how the table calls it, and words of what it says.
pub struct Wall {
    pub name: &'static str,
    pub words: &'static str,
}

const GRAMMAR: Wall = Wall {
    name: "grammar of statements",
    words: "one SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES a call",
};
const INTO: Wall = Wall {
    name: "grammar of statements",
    words: "SELECT INTO makes a table",
};
const FUNCTIONS: Wall = Wall {
    name: "list of functions",
    words: "is not for guests: its effect goes beyond the transaction",
};
const RIGHTS: Wall = Wall {
    name: "rights of the role",
    words: "permission denied",
};
const PROOF: Wall = Wall {
    name: "proof of the host",
    words: "only the host may do this",
};
const ROWS: Wall = Wall {
    name: "query-rows",
    words: "query-rows",
};
const BYTES: Wall = Wall {
    name: "query-bytes",
    words: "query-bytes",
};
const TIME: Wall = Wall {
    name: "handle-timeout-ms",
    words: "handle-timeout-ms",
};
const WORDS_OF_SETUP: Wall = Wall {
    name: "words of setup",
    words: "a statement of `setup` or `teardown` begins with one of",
};
const AUDIT: Wall = Wall {
    name: "audit of setup",
    words: "`setup` leaves behind what a guest may not have",
};

const fn escape(sin: &'static str, wall: &'static Wall, sql: &'static str) -> Escape {
    Escape { sin, sql, wall }
}

/// What would end the transaction, change the session, or do other things than reading and writing rows.
pub const STATEMENTS: &[Escape] = &[
    escape("RESET ROLE", &GRAMMAR, "RESET ROLE"),
    escape("SET ROLE", &GRAMMAR, "SET ROLE postgres"),
    escape("SET", &GRAMMAR, "SET search_path = projectionist"),
    escape("BEGIN", &GRAMMAR, "BEGIN"),
    escape("COMMIT", &GRAMMAR, "COMMIT"),
    escape("COMMIT after a query", &GRAMMAR, "SELECT 1::text; COMMIT"),
    escape("ROLLBACK", &GRAMMAR, "ROLLBACK"),
    escape("SAVEPOINT", &GRAMMAR, "SAVEPOINT a"),
    escape("PREPARE TRANSACTION", &GRAMMAR, "PREPARE TRANSACTION 'x'"),
    escape("DO", &GRAMMAR, "DO $$ BEGIN COMMIT; END $$"),
    escape(
        "COPY from a file",
        &GRAMMAR,
        "COPY answers FROM '/etc/passwd'",
    ),
    escape(
        "COPY to a program",
        &GRAMMAR,
        "COPY (SELECT 1) TO PROGRAM 'id'",
    ),
    escape("NOTIFY", &GRAMMAR, "NOTIFY projectionist_control"),
    escape(
        "CREATE TEMPORARY TABLE",
        &GRAMMAR,
        "CREATE TEMPORARY TABLE x (y int)",
    ),
    escape(
        "CREATE FUNCTION",
        &GRAMMAR,
        "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    escape("SELECT INTO", &INTO, "SELECT 'x' AS y INTO z"),
    escape(
        "SELECT INTO TEMPORARY",
        &INTO,
        "SELECT 'x' AS y INTO TEMPORARY z",
    ),
];

/// What reaches beyond the batch, or beyond the guest's own tables, by a query.
pub const QUERIES: &[Escape] = &[
    escape(
        "set_config",
        &FUNCTIONS,
        "SELECT set_config('role', 'none', true)",
    ),
    escape(
        "set_config in disguise",
        &FUNCTIONS,
        "SELECT pg_catalog . \"set_config\" /**/ ('search_path', 'projectionist', false)",
    ),
    escape(
        "pg_notify",
        &FUNCTIONS,
        "SELECT pg_notify('projectionist_control', '')::text",
    ),
    escape(
        "advisory locks",
        &FUNCTIONS,
        "SELECT pg_advisory_lock(n)::text FROM generate_series(1, 100000) n",
    ),
    escape("large objects", &FUNCTIONS, "SELECT lo_create(0)::text"),
    escape(
        "pg_terminate_backend",
        &FUNCTIONS,
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity",
    ),
    escape(
        "text run as SQL",
        &FUNCTIONS,
        "SELECT query_to_xml('COMMIT', true, true, '')::text",
    ),
    escape(
        "pg_read_file",
        &RIGHTS,
        "SELECT pg_read_file('/etc/passwd')",
    ),
    escape(
        "passwords of roles",
        &RIGHTS,
        "SELECT rolpassword FROM pg_authid",
    ),
    escape(
        "catalogs written to",
        &RIGHTS,
        "UPDATE pg_catalog.pg_class SET relowner = 10",
    ),
    escape(
        "other guests' tables read",
        &RIGHTS,
        "SELECT code FROM records_1.seen",
    ),
    escape(
        "other guests' tables written",
        &RIGHTS,
        "INSERT INTO records_1.counter (n) VALUES (1)",
    ),
    escape(
        "other schemas",
        &RIGHTS,
        "SELECT installation FROM projectionist.installation() installation",
    ),
    escape(
        "the log read",
        &RIGHTS,
        "SELECT type FROM projectionist.events",
    ),
    escape(
        "the log written to",
        &RIGHTS,
        "INSERT INTO projectionist.events (stream, version, type) VALUES ('forged', 1, 'Forged')",
    ),
    escape(
        "secrets of the host",
        &RIGHTS,
        "SELECT password FROM projectionist.roles",
    ),
    escape(
        "checkpoints moved",
        &RIGHTS,
        "UPDATE projectionist.checkpoints SET position = 100",
    ),
    escape(
        "checkpoint of another guest",
        &PROOF,
        "SELECT pj_batch.advance(0, 0, 100, NULL, NULL, NULL, NULL, NULL, false, '0', 'records_1', NULL)::text",
    ),
    escape(
        "lane of another guest",
        &PROOF,
        "SELECT position::text FROM pj_batch.open_lane(0, 'records_1', NULL)",
    ),
    escape(
        "append behind the host's back",
        &PROOF,
        "SELECT a.id::text FROM pj_batch.append('forged', NULL, '[{\"type\": \"Forged\"}]', 'runs_sql_1', NULL) a",
    ),
    escape(
        "tables of another guest dropped",
        &PROOF,
        "SELECT pj_batch.empty_schema('records_1', NULL)::text",
    ),
    escape(
        "a million rows by generate_series",
        &ROWS,
        "SELECT n::text FROM generate_series(1, 1000000) n",
    ),
    escape(
        "a huge answer",
        &BYTES,
        "SELECT repeat('x', 1000000) FROM generate_series(1, 100)",
    ),
];

/// What would keep the server busy. The guest runs no more after it.
pub const BOMBS: &[Escape] = &[
    escape("pg_sleep", &TIME, "SELECT pg_sleep(3600)::text"),
    escape(
        "generate_series that computes",
        &TIME,
        "SELECT count(*)::text FROM generate_series(1, 1000000000000)",
    ),
    escape(
        "generate_series that is sorted",
        &TIME,
        "SELECT max(b)::text FROM (SELECT md5(n::text) AS b FROM generate_series(1, 1000000000) n ORDER BY 1 OFFSET 1) x",
    ),
    escape(
        "a join of everything with everything",
        &TIME,
        "SELECT count(*)::text FROM pg_attribute a, pg_attribute b, pg_attribute c, pg_attribute d",
    ),
    escape(
        "recursion without end",
        &TIME,
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*)::text FROM r",
    ),
];

/// What would let a guest do later what it may not do now.
pub const IN_SETUP: &[Escape] = &[
    escape("COMMIT in setup", &WORDS_OF_SETUP, "COMMIT"),
    escape("SET in setup", &WORDS_OF_SETUP, "SET ROLE postgres"),
    escape("DO in setup", &WORDS_OF_SETUP, "DO $$ BEGIN NULL; END $$"),
    escape("COPY in setup", &WORDS_OF_SETUP, "COPY answers TO '/tmp/x'"),
    escape(
        "set_config as a default",
        &FUNCTIONS,
        "CREATE TABLE d (x text DEFAULT set_config('role', 'none', true))",
    ),
    escape(
        "a function for later",
        &AUDIT,
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    escape(
        "a function with the owner's rights",
        &AUDIT,
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    ),
    escape(
        "a procedure that commits",
        &AUDIT,
        "CREATE PROCEDURE f() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
    ),
    escape(
        "a trigger for later",
        &AUDIT,
        "CREATE TRIGGER t BEFORE UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
    escape(
        "a rule for later",
        &AUDIT,
        "CREATE RULE r AS ON DELETE TO answers DO INSTEAD NOTHING",
    ),
    escape(
        "an operator for later",
        &AUDIT,
        "CREATE OPERATOR = (leftarg = text, rightarg = text, procedure = textne)",
    ),
    escape(
        "a view for later",
        &AUDIT,
        "CREATE VIEW v AS SELECT answer FROM answers",
    ),
    escape(
        "a temporary table in setup",
        &AUDIT,
        "CREATE TEMPORARY TABLE x (y int)",
    ),
    escape(
        "a table in another schema",
        &RIGHTS,
        "CREATE TABLE records_1.x (y int)",
    ),
    escape("a role of its own", &RIGHTS, "CREATE ROLE x"),
    escape(
        "rights for everybody",
        &RIGHTS,
        "GRANT ALL ON ALL TABLES IN SCHEMA projectionist TO PUBLIC",
    ),
];
