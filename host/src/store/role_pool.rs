//! Connections of the roles of subscriptions: opened when there is work, kept for the next batch, bounded in number. The one that
//! was not used for longest makes room.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::walls::Duty;
use super::{ACQUIRE_TIMEOUT, Error, GuestError, Store};

/// Connections of roles that one host or command keeps open at most, unless told otherwise: a third of what the server accepts, because
/// others want some as well, within these bounds. Where more subscriptions than this are busy at once, most batches log in anew. Measured
/// with a hundred of them: 17 ms of the server's processor for a batch with 24 connections, 1 ms with one for each.
const ROLE_CONNECTIONS: RangeInclusive<u32> = 24..=128;

/// That number for a server that accepts so many connections.
pub fn role_connections_for(connections_max: i32) -> u32 {
    let (least, most) = ROLE_CONNECTIONS.into_inner();
    (connections_max.unsigned_abs() / 3).clamp(least, most)
}

/// A connection that nobody needed for so long is closed.
const IDLE_LIFETIME: Duration = Duration::from_secs(300);

/// How long the end of a session is waited for, and how often it is looked at.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// SQLSTATEs of a login that is refused: no such role or not in pg_hba.conf, wrong password.
const LOGIN_REFUSED: [&str; 2] = ["28000", "28P01"];

/// The pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct RolePool {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

/// The ones that are idle, the one that was not used for longest first, and how many there are together with those in use.
#[derive(Default)]
struct State {
    idle: VecDeque<Idle>,
    open: usize,
}

struct Idle {
    connection: RoleConnection,
    since: Instant,
}

/// Whose connections are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    subscription: String,
    duty: Duty,
}

/// An open connection of a role.
struct RoleConnection {
    key: Key,
    connection: PgConnection,
    backend: i32,
    secret: Vec<u8>,
    /// No guest has used it since it was opened or reset.
    is_clean: bool,
}

/// A connection in use. Dropped without [`RoleLease::give_back`], it is closed.
pub(super) struct RoleLease {
    held: Option<RoleConnection>,
    /// Whether it was used before: it may be dead.
    pub is_reused: bool,
    /// Whether it counts as open: from before it is opened until it is closed or given back.
    counts: bool,
    pool: RolePool,
    _permit: OwnedSemaphorePermit,
}

impl RolePool {
    pub fn new(limit: u32) -> RolePool {
        let limit = limit.max(1) as usize;
        RolePool {
            shared: Arc::new(Shared {
                limit,
                permits: Arc::new(Semaphore::new(limit)),
                state: Mutex::default(),
            }),
        }
    }

    /// A connection of a subscription's role. `None`: there is no such subscription.
    pub async fn acquire(
        &self,
        store: &Store,
        subscription: &str,
        duty: Duty,
    ) -> Result<Option<RoleLease>, Error> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, permits.acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let key = Key {
            subscription: subscription.to_owned(),
            duty,
        };
        let (found, surplus) = self.take(&key);
        let is_reused = found.is_some();
        let mut lease = RoleLease {
            held: found,
            is_reused,
            counts: true,
            pool: self.clone(),
            _permit: permit,
        };
        // Closed before another is opened, so that the server never sees more than there may be.
        for closing in surplus {
            close(store, closing).await?;
        }
        if lease.held.is_none() {
            let Some(opened) = open(store, &key).await? else {
                return Ok(None);
            };
            lease.held = Some(opened);
        }
        Ok(Some(lease))
    }

    /// Forgets the connections of a subscription, whose roles are dropped or changed.
    pub fn forget(&self, subscription: &str) {
        let mut state = self.lock();
        let before = state.idle.len();
        state
            .idle
            .retain(|idle| idle.connection.key.subscription != subscription);
        state.open -= before - state.idle.len();
    }

    /// Closes what is idle.
    pub async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            let idle = std::mem::take(&mut state.idle);
            state.open -= idle.len();
            idle
        };
        for idle in idle {
            let _ = idle.connection.connection.close().await;
        }
    }

    /// An idle connection of this role, and those that have to go: too old, or in the way of a new one.
    fn take(&self, key: &Key) -> (Option<RoleConnection>, Vec<RoleConnection>) {
        let mut state = self.lock();
        let newest = state
            .idle
            .iter()
            .rposition(|idle| idle.connection.key == *key);
        let found = newest
            .and_then(|place| state.idle.remove(place))
            .map(|idle| idle.connection);
        let mut surplus = Vec::new();
        // Counted before it is opened: others who open one at the same time make room for it.
        let needed = usize::from(found.is_none());
        while let Some(oldest) = state.idle.front() {
            let in_the_way = state.open + needed > self.shared.limit;
            if !in_the_way && oldest.since.elapsed() < IDLE_LIFETIME {
                break;
            }
            surplus.extend(state.idle.pop_front().map(|idle| idle.connection));
            state.open -= 1;
        }
        state.open += needed;
        (found, surplus)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoleLease {
    pub fn get(&mut self) -> &mut PgConnection {
        &mut self.held_mut().connection
    }

    pub fn secret(&self) -> Vec<u8> {
        self.held
            .as_ref()
            .map(|held| held.secret.clone())
            .unwrap_or_default()
    }

    /// The process behind it.
    pub fn backend(&self) -> i32 {
        self.held.as_ref().map_or(0, |held| held.backend)
    }

    pub fn is_clean(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_clean)
    }

    pub fn mark(&mut self, is_clean: bool) {
        self.held_mut().is_clean = is_clean;
    }

    /// The transaction is over: kept for the next batch of this role.
    pub fn give_back(mut self) {
        if let Some(connection) = self.held.take() {
            self.counts = false;
            self.pool.lock().idle.push_back(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    fn held_mut(&mut self) -> &mut RoleConnection {
        self.held
            .as_mut()
            .expect("a leased connection is there until it is given back")
    }
}

impl Drop for RoleLease {
    fn drop(&mut self) {
        if self.counts {
            self.pool.lock().open -= 1;
        }
    }
}

/// Closes a connection, and waits until its session has ended: closing says good-bye and does not wait for the server.
async fn close(store: &Store, closing: RoleConnection) -> Result<(), Error> {
    let _ = closing.connection.close().await;
    let began = Instant::now();
    while began.elapsed() < CLOSE_PATIENCE {
        let is_there: bool = sqlx::query_scalar(include_str!("sql/is_session_there.sql"))
            .bind(closing.backend)
            .fetch_one(store.pool())
            .await?;
        if !is_there {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Opens a connection of a role, which is made or mended if that is why it does not open.
async fn open(store: &Store, key: &Key) -> Result<Option<RoleConnection>, Error> {
    let mut is_mended = false;
    loop {
        let opened = match select(store, key).await? {
            None => Ok(None),
            Some(role) => login(store, key, role).await,
        };
        let reason = match opened {
            Ok(Some(connection)) => return Ok(Some(connection)),
            Ok(None) => None,
            Err(source) if is_login_refused(&source) => Some(source),
            Err(source) => return Err(Error::Connect { source }),
        };
        match reason {
            Some(source) if is_mended => {
                let subscription = key.subscription.clone();
                return Err(Error::RoleLogin {
                    subscription,
                    source,
                });
            }
            None if is_mended => return Ok(None),
            // Not made yet, or a guest changed the password of its role in `setup`.
            _ if !store.make_roles_of(&key.subscription).await? => return Ok(None),
            _ => is_mended = true,
        }
    }
}

struct Role {
    name: String,
    password: String,
    secret: Vec<u8>,
}

async fn select(store: &Store, key: &Key) -> Result<Option<Role>, Error> {
    let row = sqlx::query(include_str!("sql/select_role.sql"))
        .bind(&key.subscription)
        .bind(key.duty.text())
        .fetch_optional(store.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Role {
        name: row.try_get("name")?,
        password: row.try_get("password")?,
        secret: row.try_get("secret")?,
    }))
}

async fn login(
    store: &Store,
    key: &Key,
    role: Role,
) -> Result<Option<RoleConnection>, sqlx::Error> {
    let connecting = async {
        let mut connection = role_options(store, key, &role).connect().await?;
        let backend: i32 = sqlx::query_scalar(include_str!("sql/read_backend.sql"))
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, sqlx::Error>((connection, backend))
    };
    let (connection, backend) = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting)
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(Some(RoleConnection {
        key: key.clone(),
        connection,
        backend,
        secret: role.secret,
        is_clean: true,
    }))
}

/// Settings of the session that a reset leads back to.
fn role_options(store: &Store, key: &Key, role: &Role) -> PgConnectOptions {
    let patience_ms = super::batch::patience_ms(key.duty).to_string();
    store
        .pool()
        .connect_options()
        .as_ref()
        .clone()
        .username(&role.name)
        .password(&role.password)
        .options([
            ("search_path", key.subscription.as_str()),
            ("timezone", "UTC"),
            // What takes a lane looks at other rows in a later statement.
            ("default_transaction_isolation", "read committed"),
            // A batch says what it needs, unless it is a single statement, which may be lost.
            ("synchronous_commit", "off"),
            ("statement_timeout", &patience_ms),
            ("idle_in_transaction_session_timeout", &patience_ms),
        ])
}

fn is_login_refused(source: &sqlx::Error) -> bool {
    source
        .as_database_error()
        .and_then(|refusal| refusal.code())
        .is_some_and(|code| LOGIN_REFUSED.contains(&&*code))
}

/// Whether an error at the first statement says that a connection which was kept is of no use any more: it was cut, or its role was
/// dropped and made anew.
pub(super) fn is_stale(error: &Error) -> bool {
    match error {
        Error::Database { source } => {
            GuestError::is_passing(source)
                || source
                    .as_database_error()
                    .and_then(|refusal| refusal.code())
                    .is_some_and(|code| code == "PJ010")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::role_connections_for;

    #[test]
    fn a_host_takes_a_third_of_the_connections_within_bounds() {
        for (accepted, own) in [(20, 24), (72, 24), (100, 33), (384, 128), (5_000, 128)] {
            assert_eq!(role_connections_for(accepted), own, "{accepted}");
        }
    }
}
