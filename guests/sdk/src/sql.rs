//! Statements inside the batch's transaction, one a call, with `$1`-style parameters.

pub use crate::bindings::projectionist::sql::types::Column;

use crate::bindings::projectionist::sql::client;
use crate::bindings::projectionist::sql::types::Error as WireError;
use crate::extract::{Extract, InBatch};
use crate::failure::Result;
use crate::in_hand;
use crate::parts::Parts;
use crate::row::{FromRow, Row};
use crate::value::Value;
use std::fmt;

/// SQL in the batch's transaction. Rows written through [`Table`](struct@crate::Table) are flushed before each statement, so it
/// sees them, and rows in hand are forgotten, so prefer one way per table.
///
/// Transaction words are refused; DDL is for `setup` only.
#[derive(Debug)]
pub struct Sql(());

impl<S: InBatch> Extract<S> for Sql {
    const PARTS: Parts = Parts::NONE;

    fn extract(_: &S) -> Result<Self> {
        Ok(Sql(()))
    }
}

impl Sql {
    /// The rows of a query, each read as `T`: a tuple by position or a `#[derive(Table)]` struct by names.
    ///
    /// # Errors
    /// The statement failed, or a row has another shape.
    pub fn query<T: FromRow>(&self, statement: &str, params: &[Value]) -> Result<Vec<T>> {
        in_hand::flush_and_forget()?;
        let found = client::query(statement, params).map_err(Error::from)?;
        let row = |values| {
            T::from_row(Row {
                columns: &found.columns,
                values,
            })
        };
        Ok(found
            .rows
            .into_iter()
            .map(row)
            .collect::<Result<Vec<T>, _>>()?)
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// The statement failed, or the row has another shape.
    pub fn query_first<T: FromRow>(&self, statement: &str, params: &[Value]) -> Result<Option<T>> {
        Ok(self.query(statement, params)?.into_iter().next())
    }

    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// The statement failed. The transaction is then of no use any more: return the error.
    pub fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error> {
        in_hand::flush_and_forget()?;
        Ok(client::execute(statement, params)?)
    }

    /// Runs a statement once for each list of parameters, in one call, and says how many rows were changed in all.
    ///
    /// # Errors
    /// The statement failed for one of them.
    pub fn execute_many(&self, statement: &str, params: &[Vec<Value>]) -> Result<u64, Error> {
        in_hand::flush_and_forget()?;
        Ok(client::execute_many(statement, params)?)
    }

    /// Runs a statement inside a savepoint: a failure undoes this statement only, and the handler may go on.
    ///
    /// # Errors
    /// The statement failed.
    pub fn try_execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error> {
        in_hand::flush_and_forget()?;
        Ok(client::try_execute(statement, params)?)
    }
}

/// Why the host did not do what was asked of SQL or of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(WireError);

impl Error {
    /// "database", "denied", "bad-parameter", "unsupported-type", "too-large", "budget", "timeout", "unavailable",
    /// "aborted", or one that came later.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// PostgreSQL's code, such as `23505` for a duplicate key.
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_deref()
    }

    /// Whether the same batch may succeed when it is run again.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// Further values by name, such as `constraint`.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.0
            .extras
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Error {
        Error(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WireError {
            kind,
            message,
            sqlstate,
            extras,
            ..
        } = &self.0;
        write!(out, "{kind}: {message}")?;
        if let Some(code) = sqlstate {
            write!(out, " (SQLSTATE {code})")?;
        }
        for (name, value) in extras {
            write!(out, ", {name}: {value}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
