//! A database, a directory of obeying guests and a host that a test takes step by step.

use projectionist::engine::Host;
use projectionist::store::NewEvent;
use serde_json::json;

use super::log::event;
use super::obeys::Script;
use super::{Modules, TestDatabase, stepped};
use sqlx::AssertSqlSafe;

pub struct Stage {
    pub database: TestDatabase,
    pub modules: Modules,
    pub host: Host,
}

impl Stage {
    /// A host over these guests, each in a file of its id. Nothing has been looked at.
    pub async fn with(scripts: &[Script]) -> Stage {
        let (database, modules) = (TestDatabase::new().await, Modules::new());
        for script in scripts {
            modules.put_script(&format!("{}.wasm", script.id), script);
        }
        let host = stepped(&database, &modules).await;
        Stage {
            database,
            modules,
            host,
        }
    }

    /// Appends ticks, then looks at the directory: all guests are registered.
    pub async fn registered(scripts: &[Script], ticks: usize) -> Stage {
        let mut stage = Stage::with(scripts).await;
        stage.database.append_ticks(ticks).await;
        stage.host.scan().await.expect("looked");
        stage
    }

    /// Looks, and does all that there is to do.
    pub async fn catch_up(&mut self) {
        self.host.once().await.expect("caught up");
    }

    /// Status and checkpoint.
    pub async fn stands(&self, id: &str) -> (String, i64) {
        let status = self.database.status(id).await;
        (status, self.database.position(id).await)
    }

    /// Positions of the events that a guest has handled, in the order of the log.
    pub async fn handled(&self, id: &str) -> Vec<i64> {
        let select = format!("SELECT position FROM \"{id}\".seen ORDER BY position");
        let rows = sqlx::query_scalar(AssertSqlSafe(select));
        rows.fetch_all(self.database.pool()).await.expect("rows")
    }

    /// What a guest has written about one event, in one column.
    pub async fn written<T>(&self, id: &str, column: &str, position: i64) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let select = format!("SELECT {column} FROM \"{id}\".seen WHERE position = $1");
        let value = sqlx::query_scalar(AssertSqlSafe(select)).bind(position);
        let value = value.fetch_one(self.database.pool()).await;
        value.unwrap_or_else(|error| panic!("{id} at {position}: {error}"))
    }

    /// Whether there are tables of the guest.
    pub async fn has_tables(&self, id: &str) -> bool {
        sqlx::query_scalar("SELECT to_regclass($1 || '.seen') IS NOT NULL")
            .bind(id)
            .fetch_one(self.database.pool())
            .await
            .expect("an answer")
    }

    /// Whether the subscription and its schema are there; both or none of them are.
    pub async fn is_there(&self, id: &str) -> bool {
        let row = self.database.store().subscription(id).await;
        let schema: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)",
        )
        .bind(id)
        .fetch_one(self.database.pool())
        .await
        .expect("an answer");
        assert_eq!(
            row.expect("an answer").is_some(),
            schema,
            "row and schema of {id}"
        );
        schema
    }
}

/// An event that harms whoever handles it, by this verdict.
pub fn poison(verdict: &str) -> NewEvent {
    event("Poison", &json!({ "verdict": verdict }))
}
