//! A connection that is kept from one question to the next. The pool asks the server before and after each use whether the
//! connection is good: who asks every few milliseconds, or is waited for, would pay for three questions each time.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

/// Taken from the pool at the first question, and given back when this is dropped.
pub(super) struct KeptConnection {
    pool: PgPool,
    connection: Option<PoolConnection<Postgres>>,
}

impl KeptConnection {
    pub fn of(pool: &PgPool) -> KeptConnection {
        KeptConnection {
            pool: pool.clone(),
            connection: None,
        }
    }

    pub async fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Gives it back for now.
    pub fn rest(&mut self) {
        self.connection = None;
    }

    /// It is of no use any more: the next question goes over another one.
    pub fn lose(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
        self.connection = None;
    }
}
