//! A connection with an open transaction: given back only when the transaction is over, closed otherwise.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::proof::Authority;
use super::role_pool::{RoleLease, is_stale};
use super::walls::{Duty, Walls};
use super::{Error, Store};

pub(super) enum Leased {
    /// Of the host itself.
    Host(HostLease),
    /// Of a role of a subscription.
    Role(RoleLease),
}

pub(super) struct HostLease(Option<PoolConnection<Postgres>>);

impl Leased {
    /// A connection for a batch of a subscription. `None`: there is no such subscription.
    pub async fn acquire(
        store: &Store,
        subscription: &str,
        duty: Duty,
    ) -> Result<Option<Leased>, Error> {
        Ok(match store.walls() {
            Walls::None => {
                let connection = store.pool().acquire().await?;
                Some(Leased::Host(HostLease(Some(connection))))
            }
            Walls::Roles => {
                let lease = store.roles().acquire(store, subscription, duty).await?;
                lease.map(Leased::Role)
            }
        })
    }

    pub fn get(&mut self) -> &mut PgConnection {
        match self {
            Leased::Host(lease) => lease
                .0
                .as_mut()
                .expect("a leased connection is there until it is released"),
            Leased::Role(lease) => lease.get(),
        }
    }

    pub fn authority(&self, subscription: &str) -> Authority {
        match self {
            Leased::Host(_) => Authority::Host {
                subscription: subscription.to_owned(),
            },
            Leased::Role(lease) => Authority::Role {
                secret: lease.secret(),
                backend: lease.backend(),
            },
        }
    }

    /// Whether no guest has left anything in the session. None ever does in one of the host, where everything is `SET LOCAL`.
    pub fn is_clean(&self) -> bool {
        match self {
            Leased::Host(_) => true,
            Leased::Role(lease) => lease.is_clean(),
        }
    }

    /// The process behind a session of a role in which no guest has left anything.
    pub fn clean_backend(&self) -> Option<i32> {
        match self {
            Leased::Role(lease) if lease.is_clean() => Some(lease.backend()),
            Leased::Role(_) | Leased::Host(_) => None,
        }
    }

    /// From now on a guest may leave something there.
    pub fn mark_used(&mut self) {
        if let Leased::Role(lease) = self {
            lease.mark(false);
        }
    }

    /// The session was reset.
    pub fn mark_clean(&mut self) {
        if let Leased::Role(lease) = self {
            lease.mark(true);
        }
    }

    /// Whether its session has to be reset after a batch.
    pub fn is_of_a_role(&self) -> bool {
        matches!(self, Leased::Role(_))
    }

    /// Whether this error is that of a connection that was kept for too long.
    pub fn is_worn(&self, error: &Error) -> bool {
        matches!(self, Leased::Role(lease) if lease.is_reused) && is_stale(error)
    }

    /// The transaction is over: back to where it came from.
    pub fn release(self) {
        match self {
            Leased::Host(mut lease) => drop(lease.0.take()),
            Leased::Role(lease) => lease.give_back(),
        }
    }
}

impl Drop for HostLease {
    fn drop(&mut self) {
        // Closing rolls back, whatever was under way; an open transaction must never reach the next user.
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
