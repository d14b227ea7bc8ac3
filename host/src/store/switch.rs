//! The switch itself: in one transaction the views point at the next version, it is live, and the one before is Detached.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{PgConnection, Postgres, Row as _, Transaction};
use subscription::{Input, Kind, Next};

use super::failpoint::failpoint;
use super::handover::Handover;
use super::subscriptions::{change_status, notify_control, read_status};
use super::{Error, Store};

/// How long a switch waits for one lock: others wait behind it for so long, and it must be shorter than the server's search for
/// deadlocks, which would end a reader.
const LOCK_PATIENCE: Duration = Duration::from_millis(80);

/// Somebody holds a lock: the same again in a moment.
pub(super) struct Busy;

/// What became of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switched {
    Done,
    /// A reader, a batch or another switch is in the way: the same again in a moment.
    Busy,
    /// The next version is behind the live one.
    Behind,
    /// The rows are not what the caller believed.
    Stale,
    /// It cannot be done as things are; why, and what to do.
    Refused(String),
}

impl Store {
    /// Switches a line. `wait`: how long each lock is waited for; others wait behind it for so long.
    pub async fn switch(&self, handover: &Handover, wait: Duration) -> Result<Switched, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/set_lock_timeout.sql"))
            .bind(format!("{}ms", wait.as_millis().max(1)))
            .execute(&mut *transaction)
            .await?;
        failpoint("switch-begun");
        let switched = switch(&mut transaction, handover).await?;
        if switched != Switched::Done {
            transaction.rollback().await?;
            return Ok(switched);
        }
        failpoint("switch-committing");
        transaction.commit().await?;
        failpoint("switch-committed");
        Ok(Switched::Done)
    }
}

/// The lanes of a version, held by a transaction: no batch of it can begin.
pub struct Held {
    transaction: Transaction<'static, Postgres>,
    /// Up to where it has dealt with everything.
    pub position: i64,
}

impl Store {
    /// Holds a version where it is, until what is returned is dropped or used. `None`: a batch of it is open.
    pub async fn hold_lanes(&self, id: &str) -> Result<Option<Held>, Error> {
        let mut transaction = self.begin().await?;
        set_lock_timeout(&mut transaction).await?;
        let locked = lock_lanes(&mut transaction, &[id]).await?;
        let position = locked.ok().and_then(|positions| positions.get(id).copied());
        Ok(position.map(|position| Held {
            transaction,
            position,
        }))
    }

    /// Switches to a version that is level with the one that is held.
    pub async fn switch_held(&self, held: Held, handover: &Handover) -> Result<Switched, Error> {
        let mut transaction = held.transaction;
        failpoint("switch-begun");
        let switched = switch(&mut transaction, handover).await?;
        if switched == Switched::Done {
            failpoint("switch-committing");
            transaction.commit().await?;
            failpoint("switch-committed");
        } else {
            transaction.rollback().await?;
        }
        Ok(switched)
    }
}

async fn switch(connection: &mut PgConnection, handover: &Handover) -> Result<Switched, Error> {
    let Handover { line, from, to, by } = handover;
    let row = sqlx::query(include_str!("sql/lock_line.sql"))
        .bind(line)
        .bind(to)
        .bind(by)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(Switched::Busy);
    };
    let (live, in_hand): (Option<String>, bool) = (row.try_get("live")?, row.try_get("in_hand")?);
    let kind: String = row.try_get("kind")?;
    let is_projector = Kind::parse(&kind) != Some(Kind::Processor);
    // Without a version to take over from nobody has to be held back, and of processors nothing is read.
    if live != *from || (is_projector && from.is_some() && !in_hand) {
        return Ok(Switched::Stale);
    }
    let versions: Vec<&str> = from.iter().chain([to]).map(String::as_str).collect();
    let positions = match lock_lanes(connection, &versions).await? {
        Ok(positions) => positions,
        Err(Busy) => return Ok(Switched::Busy),
    };
    failpoint("switch-lanes-locked");
    let Some(to_position) = positions.get(to.as_str()) else {
        return Ok(Switched::Stale);
    };
    match from.as_ref().and_then(|from| positions.get(from.as_str())) {
        Some(from_position) if is_projector && to_position < from_position => {
            return Ok(Switched::Behind);
        }
        // A processor goes on exactly where the one before stopped.
        Some(from_position) if !is_projector && to_position != from_position => {
            return Ok(Switched::Behind);
        }
        _ => {}
    }
    if is_projector {
        match point(connection, line, to).await? {
            Switched::Done => {}
            other => return Ok(other),
        }
    }
    failpoint("switch-views-pointed");
    if let Some(from) = from {
        supersede(connection, from).await?;
        sqlx::query(include_str!("sql/left_live.sql"))
            .bind(from)
            .execute(&mut *connection)
            .await?;
    }
    set_live(connection, line, to).await?;
    notify_control(connection).await?;
    Ok(Switched::Done)
}

/// Locks the row of a line, which goes before the locks of its versions.
pub(super) async fn hold_line(connection: &mut PgConnection, line: &str) -> Result<(), Error> {
    sqlx::query(include_str!("sql/hold_line.sql"))
        .bind(line)
        .execute(connection)
        .await?;
    Ok(())
}

/// Readers see this version from now on.
pub(super) async fn set_live(
    connection: &mut PgConnection,
    line: &str,
    id: &str,
) -> Result<(), Error> {
    for statement in [
        sqlx::query(include_str!("sql/set_live.sql"))
            .bind(line)
            .bind(id),
        sqlx::query(include_str!("sql/went_live.sql")).bind(id),
    ] {
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Detaches a version because another takes over. Its row is locked first, so that its status is the present one.
pub(super) async fn supersede(connection: &mut PgConnection, id: &str) -> Result<bool, Error> {
    let row = sqlx::query(include_str!("sql/lock_subscription.sql"))
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let status = read_status(&row, id)?;
    let mode = subscription::RunMode::FromBeginning;
    match status.on(Input::Superseded, mode) {
        Ok(Next::Status(next)) if next != status => {
            change_status(connection, id, status, next).await
        }
        _ => Ok(true),
    }
}

/// Locks the lanes of versions, and says where each of them stands.
pub(super) async fn lock_lanes(
    connection: &mut PgConnection,
    versions: &[&str],
) -> Result<Result<HashMap<String, i64>, Busy>, Error> {
    let locked = sqlx::query(include_str!("sql/lock_versions.sql"))
        .bind(versions)
        .fetch_all(connection)
        .await;
    let rows = match locked {
        Ok(rows) => rows,
        Err(error) if is_busy(&error) => return Ok(Err(Busy)),
        Err(error) => return Err(error.into()),
    };
    let mut positions: HashMap<String, i64> = HashMap::new();
    for row in rows {
        let position: i64 = row.try_get("position")?;
        positions
            .entry(row.try_get("subscription")?)
            .and_modify(|least| *least = position.min(*least))
            .or_insert(position);
    }
    Ok(Ok(positions))
}

pub(super) async fn set_lock_timeout(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(include_str!("sql/set_lock_timeout.sql"))
        .bind(format!("{}ms", LOCK_PATIENCE.as_millis()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn point(connection: &mut PgConnection, line: &str, to: &str) -> Result<Switched, Error> {
    let pointed = sqlx::query(include_str!("sql/point_line.sql"))
        .bind(line)
        .bind(to)
        .execute(connection)
        .await;
    match pointed {
        Ok(_) => Ok(Switched::Done),
        Err(error) if is_busy(&error) => Ok(Switched::Busy),
        Err(error) => match refusal(&error) {
            Some(why) => Ok(Switched::Refused(why)),
            None => Err(error.into()),
        },
    }
}

/// A lock that was not had in time, or a deadlock that somebody else won.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// What the server says to a switch that it will not do again in a moment either: our own refusals, missing rights, objects that
/// depend on what would go.
fn refusal(error: &sqlx::Error) -> Option<String> {
    let database = error.as_database_error()?;
    let code = database.code()?;
    let is_final = code.starts_with("PJ02") || code.starts_with("42") || code.starts_with("2B");
    let hint = database
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .and_then(|error| error.hint());
    is_final.then(|| match hint {
        Some(hint) => format!("{}; {hint}", database.message()),
        None => database.message().to_owned(),
    })
}
