//! Which statements of a guest pass.
//!
//! In `handle`, PostgreSQL's own grammar decides, by parsing `PREPARE x AS <statement>`. Parsing executes nothing, takes no lock and
//! registers no name. The grammar accepts SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE there, and nothing else; two
//! statements in one are refused as well. Functions that reach out of the transaction are refused by name. All of this is the second
//! belt: the first is what the role may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{AssertSqlSafe, Executor as _, PgPool, SqlSafeStr as _};

use super::GuestError;
use super::tokens::{Token, Unclear, tokens};

/// Bytes of verdicts that are kept, with their statements. A guest that makes up statements pays with a new check for each.
const MAX_VERDICT_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that a verdict counts for, beside its texts.
const VERDICT_BYTES: usize = 512;

/// Longest statement of a guest, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

/// Functions that outlive the transaction, wait for or end others, run a text as SQL, or change the session.
const DENIED_FUNCTIONS: [&str; 9] = [
    "set_config",
    "pg_notify",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_logical_emit_message",
    "ts_stat",
    "ts_rewrite",
    "loread",
    "lowrite",
];

/// With what a statement of `setup` or `teardown` may begin.
const DEFINING_WORDS: [&str; 16] = [
    "alter", "analyze", "comment", "create", "delete", "drop", "grant", "insert", "merge",
    "revoke", "select", "table", "truncate", "update", "values", "with",
];

/// The check, with its memory. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Admission {
    verdicts: Arc<Mutex<Verdicts>>,
}

#[derive(Default)]
struct Verdicts {
    by_statement: HashMap<Box<str>, Option<GuestError>>,
    bytes: usize,
}

impl Verdicts {
    fn keep(&mut self, statement: &str, verdict: Option<GuestError>) {
        let message_bytes = verdict.as_ref().map_or(0, |refusal| refusal.message.len());
        let bytes = VERDICT_BYTES + statement.len() + message_bytes;
        if self.bytes + bytes > MAX_VERDICT_BYTES {
            *self = Verdicts::default();
        }
        self.bytes += bytes;
        self.by_statement.insert(statement.into(), verdict);
    }
}

impl Admission {
    /// Passes the statement of `handle` or says why not.
    pub async fn admit(&self, pool: &PgPool, statement: &str) -> Result<(), GuestError> {
        check_text(statement)?;
        if let Some(verdict) = self.known(statement) {
            return verdict.map_or(Ok(()), Err);
        }
        let verdict = match check_words(statement) {
            Err(refusal) => Some(refusal),
            Ok(()) => parse(pool, statement).await?,
        };
        self.verdicts().keep(statement, verdict.clone());
        verdict.map_or(Ok(()), Err)
    }

    fn known(&self, statement: &str) -> Option<Option<GuestError>> {
        self.verdicts().by_statement.get(statement).cloned()
    }

    fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes a statement of `setup` or `teardown`: tables, indexes, sequences and types are made and dropped, rows are written. What it
/// leaves behind is looked through at the end.
pub(super) fn admit_definition(statement: &str) -> Result<(), GuestError> {
    check_text(statement)?;
    let tokens = tokens(statement).map_err(unclear)?;
    check_functions(&tokens)?;
    let first = tokens
        .into_iter()
        .find(|token| *token != Token::Symbol('('));
    match first {
        Some(Token::Word(word)) if DEFINING_WORDS.contains(&word.as_str()) => Ok(()),
        _ => Err(denied(format!(
            "a statement of `setup` or `teardown` begins with one of: {}",
            DEFINING_WORDS.join(", ").to_uppercase()
        ))),
    }
}

fn check_text(statement: &str) -> Result<(), GuestError> {
    if statement.len() > MAX_STATEMENT_BYTES {
        return Err(GuestError::new(
            "too-large",
            format!(
                "the statement has {} bytes, more than the {MAX_STATEMENT_BYTES} that a statement may have (statement-bytes, which is fixed); send data as parameters",
                statement.len()
            ),
        ));
    }
    if statement.contains('\0') {
        return Err(GuestError::new(
            "bad-parameter",
            "the statement contains the character NUL",
        ));
    }
    Ok(())
}

/// What the grammar lets pass and a guest may not use.
fn check_words(statement: &str) -> Result<(), GuestError> {
    let tokens = tokens(statement).map_err(unclear)?;
    check_functions(&tokens)?;
    let mut before = None;
    for token in &tokens {
        let Token::Word(word) = token else {
            before = None;
            continue;
        };
        // A reserved word: it stands in INSERT INTO, in MERGE INTO, and where SELECT INTO makes a table.
        if word == "into" && !matches!(before, Some("insert" | "merge")) {
            return Err(denied(
                "SELECT INTO makes a table; tables are made in `setup`".to_owned(),
            ));
        }
        before = Some(word.as_str());
    }
    Ok(())
}

fn check_functions(tokens: &[Token]) -> Result<(), GuestError> {
    for (index, token) in tokens.iter().enumerate() {
        let (Token::Word(name) | Token::Quoted(name)) = token else {
            continue;
        };
        let is_called = tokens.get(index + 1) == Some(&Token::Symbol('('));
        if is_denied_function(name, is_called) {
            return Err(denied(format!(
                "the function {name} is not for guests: its effect goes beyond the transaction of the batch"
            )));
        }
    }
    Ok(())
}

fn is_denied_function(name: &str, is_called: bool) -> bool {
    DENIED_FUNCTIONS.contains(&name)
        || name.starts_with("pg_") && name.contains("advisory")
        || name.contains("_to_xml")
        || name.starts_with("dblink")
        || is_called && name.starts_with("lo_")
}

fn unclear(unclear: Unclear) -> GuestError {
    denied(
        match unclear {
            Unclear::UnicodeName => "names written as U&\"..\" are refused; write them as they are",
            Unclear::ContinuedEscape => {
                "a text E'..' that goes on in another pair of quotes is refused; write it in one"
            }
            Unclear::Unended => "a quote or comment in the statement does not end",
        }
        .to_owned(),
    )
}

fn denied(message: String) -> GuestError {
    GuestError::new("denied", message)
}

/// On a connection of its own: in an aborted transaction everything would be refused, and that is no verdict.
async fn parse(pool: &PgPool, statement: &str) -> Result<Option<GuestError>, GuestError> {
    let mut connection = pool.acquire().await?;
    let sql = AssertSqlSafe(format!("PREPARE admission AS {statement}")).into_sql_str();
    match connection.prepare(sql).await {
        Ok(_) => Ok(None),
        Err(error) => {
            let refusal = GuestError::from(error);
            match refusal.sqlstate.as_deref() {
                // A syntax error is the grammar's no. Anything else says nothing about the statement.
                Some("42601") => Ok(Some(GuestError {
                    kind: "denied",
                    message: format!(
                        "{}; one SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES a call, without words of transactions (tables are made in `setup`)",
                        refusal.message
                    ),
                    ..refusal
                })),
                _ => Err(refusal),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_functions_that_reach_out_however_they_are_written() {
        for statement in [
            "SELECT set_config('role', 'none', true)",
            "SELECT pg_catalog . \"set_config\" ('a', 'b', false)",
            "SELECT SET_CONFIG/**/('a', 'b', false)",
            "SELECT pg_try_advisory_xact_lock(1)",
            "SELECT lo_create(0)",
            "SELECT query_to_xml('SELECT 1', true, true, '')",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "SELECT * INTO x FROM t",
            "SELECT * INTO TEMP x FROM t",
            "WITH a AS (SELECT 1) SELECT * INTO UNLOGGED x FROM a",
            "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
        ] {
            let refusal = check_words(statement).expect_err(statement);
            assert_eq!(refusal.kind, "denied", "{statement}");
        }
    }

    #[test]
    fn a_guest_that_makes_up_statements_takes_no_more_room_for_it() {
        let mut verdicts = Verdicts::default();
        for number in 0..20_000 {
            let refusal = (number % 2 == 0).then(|| denied("x".repeat(1_000)));
            verdicts.keep(&format!("SELECT {number}"), refusal);
            assert!(verdicts.bytes <= MAX_VERDICT_BYTES);
            assert!(verdicts.by_statement.len() <= MAX_VERDICT_BYTES / VERDICT_BYTES);
        }
        assert_eq!(verdicts.by_statement.get("SELECT 19999"), Some(&None));
    }

    #[test]
    fn passes_what_only_looks_like_it() {
        for statement in [
            "INSERT INTO notes (lo_price, text) VALUES (1, 'set_config and pg_notify') -- into",
            "SELECT \"into\" FROM t",
            "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DO NOTHING",
            "WITH a AS (INSERT INTO t VALUES ($1) RETURNING id) SELECT id FROM a",
        ] {
            assert_eq!(check_words(statement), Ok(()), "{statement}");
        }
    }

    #[test]
    fn setup_defines_and_does_not_end_transactions() {
        for statement in [
            "CREATE TABLE t ()",
            " /* a */ (SELECT 1)",
            "insert into t values (1)",
        ] {
            assert_eq!(admit_definition(statement), Ok(()), "{statement}");
        }
        for statement in [
            "COMMIT",
            "DO $$ $$",
            "SET role = x",
            "copy t to '/x'",
            "",
            "\"create\" x",
        ] {
            let refusal = admit_definition(statement).expect_err(statement);
            assert_eq!(refusal.kind, "denied", "{statement}");
        }
    }
}
