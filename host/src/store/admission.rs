//! Which statements of a guest pass: PostgreSQL's own grammar decides, by parsing `PREPARE x AS <statement>`.
//!
//! Parsing executes nothing, takes no lock and registers no name. The grammar accepts SELECT, INSERT, UPDATE, DELETE,
//! MERGE, VALUES and TABLE there, and nothing else; two statements in one are refused as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Executor as _, PgPool, SqlSafeStr as _};

use super::GuestError;

/// Verdicts that are kept, by statement text. A guest that makes up statements pays with a new check for each.
const MAX_VERDICTS: usize = 10_000;

/// Longest statement of a guest, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

/// The check, with its memory. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Admission {
    verdicts: Arc<Mutex<HashMap<String, Option<GuestError>>>>,
}

impl Admission {
    /// Passes the statement or says why not.
    pub async fn admit(&self, pool: &PgPool, statement: &str) -> Result<(), GuestError> {
        if statement.len() > MAX_STATEMENT_BYTES {
            return Err(GuestError::new(
                "too-large",
                format!(
                    "the statement has {} bytes, more than the {MAX_STATEMENT_BYTES} a statement may have; send data as parameters",
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
        if let Some(verdict) = self.known(statement) {
            return verdict.map_or(Ok(()), Err);
        }
        let verdict = parse(pool, statement).await?;
        self.remember(statement, verdict.clone());
        verdict.map_or(Ok(()), Err)
    }

    fn known(&self, statement: &str) -> Option<Option<GuestError>> {
        self.verdicts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(statement)
            .cloned()
    }

    fn remember(&self, statement: &str, verdict: Option<GuestError>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(statement.to_owned(), verdict);
    }
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
