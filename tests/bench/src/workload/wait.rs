//! Waiting for what a query says, from outside of whoever brings it about.

use std::thread;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Between two looks, where the moment matters.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Between two looks, where processor time is measured: looking takes some as well.
const LOOK_SELDOM: Duration = Duration::from_millis(5);

/// After so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Somebody who looks at a database.
pub struct Watcher {
    connection: PgConnection,
}

impl Watcher {
    pub async fn connect(url: &str) -> anyhow::Result<Watcher> {
        Ok(Watcher {
            connection: PgConnection::connect(url).await?,
        })
    }

    pub async fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// The statement that makes a function as it is.
    pub async fn definition(&mut self, function: &str) -> anyhow::Result<String> {
        let definition = "SELECT pg_get_functiondef($1::text::regproc)";
        Ok(sqlx::query_scalar(definition)
            .bind(function)
            .fetch_one(&mut self.connection)
            .await?)
    }

    /// How many events were appended so far, where every append succeeds.
    pub async fn numbers_taken(&mut self) -> anyhow::Result<u64> {
        let taken: i64 = sqlx::query_scalar("SELECT last_value FROM projectionist.events_position")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(taken.try_into()?)
    }

    /// Appends one event and says where it is.
    pub async fn append(&mut self, stream: &str, events: &str) -> anyhow::Result<i64> {
        let position = "SELECT a.position FROM projectionist.append($1, NULL, $2::text::json) AS a";
        Ok(sqlx::query_scalar(position)
            .bind(stream)
            .bind(events)
            .fetch_one(&mut self.connection)
            .await?)
    }

    /// Waits until a query answers true. A table that is not there yet is no error.
    pub async fn until(&mut self, what: &str, query: &str) -> anyhow::Result<()> {
        self.look_until(what, query, LOOK_EVERY).await
    }

    /// The same, and looks so seldom that it costs next to nothing.
    pub async fn in_time(&mut self, what: &str, query: &str) -> anyhow::Result<()> {
        self.look_until(what, query, LOOK_SELDOM).await
    }

    async fn look_until(&mut self, what: &str, query: &str, every: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let seen: Result<Option<bool>, _> = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
                .fetch_one(&mut self.connection)
                .await;
            if matches!(seen, Ok(Some(true))) {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed() < PATIENCE,
                "waited in vain until {what}; the last answer: {seen:?}"
            );
            // Not the runtime's sleep, which knows no less than a millisecond.
            thread::sleep(every);
        }
    }

    pub async fn until_active(&mut self, subscriptions: usize) -> anyhow::Result<()> {
        let query = format!(
            "SELECT count(*) = {subscriptions} FROM projectionist.subscriptions WHERE status = 'Active'"
        );
        self.until(&format!("{subscriptions} subscriptions are active"), &query)
            .await
    }

    pub async fn until_checkpoints(&mut self, position: i64) -> anyhow::Result<()> {
        let query = format!("SELECT min(position) >= {position} FROM projectionist.checkpoints");
        self.in_time(&format!("all checkpoints are at {position}"), &query)
            .await
    }

    /// Whether the guest that records has handled an event with this code.
    pub async fn is_seen(&mut self, code: &str) -> anyhow::Result<bool> {
        let seen = "SELECT EXISTS (SELECT FROM records_1.seen WHERE code = $1)";
        let seen: Result<bool, _> = sqlx::query_scalar(seen)
            .bind(code)
            .fetch_one(&mut self.connection)
            .await;
        // In the beginning there is no table.
        Ok(seen.unwrap_or(false))
    }

    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.connection.close().await?)
    }
}
