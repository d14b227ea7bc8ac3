//! A statement as the server understands it, before there are lists of parameters.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgStatement;

use super::merged::Merged;
use crate::store::GuestError;
use crate::store::statement::{self, parameter_types};

/// Statements that a batch keeps. One that makes up statements pays with a round trip for each, and not with the host's memory.
const KEPT_STATEMENTS: usize = 16;

/// What a batch of `handle` knows of statements that it has run with many lists: the next lists can be made ready while the server is still
/// at work. While it writes a table, nobody changes that.
#[derive(Default)]
pub(in crate::store) struct Known {
    by_text: HashMap<String, Prepared>,
}

impl Known {
    pub(super) fn get(&self, sql: &str) -> Option<&Prepared> {
        self.by_text.get(sql)
    }

    /// Prepares the statement, and finds out all that can be known of it.
    pub(super) async fn learn(
        &mut self,
        connection: &mut PgConnection,
        sql: &str,
    ) -> Result<&Prepared, GuestError> {
        let mut prepared = Prepared::of(connection, sql).await?;
        if let Some(merged) = &prepared.merged
            && merged.looks_independent
        {
            prepared.is_independent = has_independent_rows(connection, merged).await?;
        }
        if self.by_text.len() >= KEPT_STATEMENTS {
            self.by_text.clear();
        }
        Ok(self.by_text.entry(sql.to_owned()).or_insert(prepared))
    }
}

pub(super) struct Prepared {
    pub statement: PgStatement,
    /// As one statement of several rows, if it can be.
    pub merged: Option<Merged>,
    /// Rows may be written in another order than that of their lists, because nobody can tell: what becomes of a row is said by its own values
    /// and its own lists, in their order. Else a function may count how often it was called, a second unique index holds rows against one
    /// another, and so on. Guests have neither functions nor triggers of their own, but the table may be somebody else's.
    pub is_independent: bool,
}

impl Prepared {
    pub async fn of(connection: &mut PgConnection, sql: &str) -> Result<Prepared, GuestError> {
        let statement = statement::prepare(connection, sql).await?;
        let merged = Merged::of(sql, parameter_types(&statement));
        Ok(Prepared {
            statement,
            merged,
            is_independent: false,
        })
    }
}

async fn has_independent_rows(
    connection: &mut PgConnection,
    merged: &Merged,
) -> Result<bool, GuestError> {
    let has = sqlx::query_scalar(include_str!("../sql/has_independent_rows.sql"))
        .bind(&merged.table)
        .bind(&merged.columns)
        .fetch_optional(connection)
        .await?;
    Ok(has.unwrap_or(false))
}
