//! A pool connection with an open transaction: given back only when the transaction is over, closed otherwise.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

pub(super) struct Leased(Option<PoolConnection<Postgres>>);

impl Leased {
    pub fn new(connection: PoolConnection<Postgres>) -> Leased {
        Leased(Some(connection))
    }

    pub fn get(&mut self) -> &mut PgConnection {
        self.0
            .as_mut()
            .expect("a leased connection is there until it is released")
    }

    /// The transaction is over: back to the pool.
    pub fn release(mut self) {
        self.0.take();
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        // Closing rolls back, whatever was under way; an open transaction must never reach the next user.
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
