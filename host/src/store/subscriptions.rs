//! The rows of subscriptions: what the host knows of each subscriber id, and the compare-and-set that changes its status.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use subscription::{Descriptor, Input, Kind, Next, RunMode, Status};
use time::OffsetDateTime;

use super::failpoint::failpoint;
use super::switch::{Busy, hold_line, lock_lanes, set_live, supersede};
use super::walls::{drop_roles, make_roles};
use super::{Error, Store, Walls, quote};

/// How long a registration waits for the open batch of the version that it takes over from.
const PREDECESSOR_PATIENCE: &str = "2s";

/// The SHA-256 of a module's bytes.
pub type Digest = [u8; 32];

/// One row of `subscriptions`.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: String,
    pub line: String,
    pub version: i64,
    pub kind: Kind,
    pub group: String,
    pub run_mode: RunMode,
    /// Exclusive; fixed at registration.
    pub start_position: i64,
    /// Run mode once: where the subscription is finished.
    pub boot_until: Option<i64>,
    pub status: Status,
    pub status_since: OffsetDateTime,
    /// It was what readers saw, since then or earlier.
    pub went_live_at: Option<OffsetDateTime>,
    /// Since then another version is live.
    pub left_live_at: Option<OffsetDateTime>,
    /// A processor that goes through history without effects.
    pub muted: bool,
    pub generation: i32,
    pub descriptor: Descriptor,
    /// What the operator set for the guest, as the floor of guests wrote it.
    pub settings: serde_json::Value,
    pub module: Digest,
    /// Another one after every change of the row, whatever it was.
    pub revision: String,
}

/// What registration writes.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    pub descriptor: Descriptor,
    /// What the operator set for the guest, as the floor of guests wrote it.
    pub settings: serde_json::Value,
    pub module: Digest,
    /// Exclusive.
    pub start_position: i64,
}

/// What a new subscription is to the versions of its line that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Succession {
    /// The first, or one that begins by its own run mode.
    First,
    /// A later projector: whatever its run mode, it is built from the beginning beside the live one.
    Later,
    /// A later processor: this one is stopped, and it goes on exactly there.
    After(String),
    /// A later processor that begins by its own run mode: this one is stopped, and what it did is repeated.
    Instead(String),
    /// A later processor that builds its state from history first, muted, while this one works on.
    Behind(String),
}

/// What takes the place of a module.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    pub id: &'a str,
    pub from: &'a Digest,
    pub to: &'a Digest,
    pub descriptor: &'a Descriptor,
    pub settings: &'a serde_json::Value,
}

/// The text of a run mode in the table.
pub fn run_mode_text(mode: RunMode) -> &'static str {
    match mode {
        RunMode::FromBeginning => "from-beginning",
        RunMode::FromNow => "from-now",
        RunMode::Once => "once",
        RunMode::FromPosition(_) => "from-position",
    }
}

/// The text of a kind in the table.
pub fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Projector => "projector",
        Kind::Processor => "processor",
    }
}

impl Store {
    /// All subscriptions, by id.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        let rows = sqlx::query(include_str!("sql/list_subscriptions.sql"))
            .bind(None::<&str>)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_subscription).collect()
    }

    /// The revision of every row, by id.
    pub async fn revisions(&self) -> Result<HashMap<String, String>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(include_str!("sql/list_revisions.sql"))
            .fetch_all(self.pool())
            .await?;
        Ok(rows.into_iter().collect())
    }

    /// One subscription, or `None` when the id is not known.
    pub async fn subscription(&self, id: &str) -> Result<Option<Subscription>, Error> {
        let row = sqlx::query(include_str!("sql/list_subscriptions.sql"))
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_subscription).transpose()
    }

    /// Writes a new subscription with its checkpoints and its schema. `false`: another host was faster.
    pub async fn register(&self, new: &NewSubscription) -> Result<bool, Error> {
        self.register_version(new, &Succession::First).await
    }

    /// The same for a version of a line that is there. `false` also when the version before it is in a batch that does not
    /// end: look again.
    pub async fn register_version(
        &self,
        new: &NewSubscription,
        succession: &Succession,
    ) -> Result<bool, Error> {
        let descriptor = &new.descriptor;
        let (id, line) = (descriptor.id.as_str(), descriptor.id.line());
        let mut transaction = self.begin().await?;
        make_line(&mut transaction, line, descriptor.kind).await?;
        if descriptor.kind == Kind::Processor {
            hold_line(&mut transaction, line).await?;
        }
        let start_position = match succession {
            Succession::First | Succession::Later => new.start_position,
            Succession::After(earlier) => match stop(&mut transaction, earlier).await? {
                Some(position) => position,
                None => return Ok(false),
            },
            Succession::Instead(earlier) => match stop(&mut transaction, earlier).await? {
                Some(_) => new.start_position,
                None => return Ok(false),
            },
            Succession::Behind(_) => 0,
        };
        let mode = match (succession, descriptor.run_mode) {
            (Succession::First | Succession::After(_) | Succession::Instead(_), own) => own,
            (Succession::Later | Succession::Behind(_), RunMode::Once) => RunMode::Once,
            (Succession::Later | Succession::Behind(_), _) => RunMode::FromBeginning,
        };
        let inserted = sqlx::query(include_str!("sql/insert_subscription.sql"))
            .bind(id)
            .bind(line)
            .bind(descriptor.id.version() as i64)
            .bind(kind_text(descriptor.kind))
            .bind(&descriptor.group)
            .bind(run_mode_text(mode))
            .bind(start_position)
            .bind(sqlx::types::Json(descriptor))
            .bind(sqlx::types::Json(&new.settings))
            .bind(new.module.as_slice())
            .bind(matches!(succession, Succession::Behind(_)))
            .execute(&mut *transaction)
            .await?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        // Lanes are to come; the checkpoint has its lane from the start.
        sqlx::query(include_str!("sql/insert_checkpoint.sql"))
            .bind(id)
            .bind(1_i32)
            .bind(start_position)
            .execute(&mut *transaction)
            .await?;
        make_schema(&mut transaction, id, self.walls()).await?;
        match (descriptor.kind, succession) {
            // Of processors the newest is the one that works; there is nothing that readers could be switched to.
            (Kind::Processor, Succession::Behind(earlier)) => {
                sqlx::query(include_str!("sql/keep_live.sql"))
                    .bind(line)
                    .bind(earlier)
                    .execute(&mut *transaction)
                    .await?;
            }
            (Kind::Processor, _) => set_live(&mut transaction, line, id).await?,
            (Kind::Projector, _) => {}
        }
        notify_control(&mut transaction).await?;
        failpoint("version-registering");
        transaction.commit().await?;
        failpoint("version-registered");
        Ok(true)
    }

    /// Chooses where a New subscription begins, exclusive. `false`: it is not New any more, or gone. Waits for a setup that
    /// is under way.
    pub async fn change_start(&self, id: &str, position: i64) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/lock_lanes.sql"))
            .bind(id)
            .fetch_all(&mut *transaction)
            .await?;
        let changed = sqlx::query(include_str!("sql/change_start.sql"))
            .bind(id)
            .bind(position)
            .execute(&mut *transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(include_str!("sql/move_checkpoints.sql"))
            .bind(id)
            .bind(position)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Run mode once: fixes where the subscription is finished, unless that is fixed already. In a transaction of its own: inside
    /// of the batch it would lock the row, and operators out, until the batch ends. Without a row there is nothing to finish.
    pub async fn fix_boot_until(&self, id: &str, position: i64) -> Result<i64, Error> {
        let fixed = sqlx::query_scalar(include_str!("sql/change_boot_until.sql"))
            .bind(id)
            .bind(position)
            .fetch_optional(self.pool())
            .await?;
        Ok(fixed.unwrap_or(position))
    }

    /// Compare-and-set of a status. `false`: the row was not in `from` any more, look again.
    pub async fn change_status(&self, id: &str, from: Status, to: Status) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let changed = change_status(&mut transaction, id, from, to).await?;
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Changes the status and forgets the errors of all lanes, so that the retry counter starts again.
    pub async fn change_status_and_reset(
        &self,
        id: &str,
        from: Status,
        to: Status,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let changed = change_status(&mut transaction, id, from, to).await?;
        if changed {
            sqlx::query(include_str!("sql/reset_error.sql"))
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Same id, other bytes or settings: takes them over. New code is a new chance: it resets the retry counter, and an
    /// error goes back to where it came from. `false`: the row had other bytes, look again.
    pub async fn swap_module(&self, swap: &Swap<'_>) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let swapped = sqlx::query(include_str!("sql/swap_module.sql"))
            .bind(swap.id)
            .bind(swap.from.as_slice())
            .bind(swap.to.as_slice())
            .bind(sqlx::types::Json(swap.descriptor))
            .bind(sqlx::types::Json(swap.settings))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = swapped else {
            return Ok(false);
        };
        if swap.from != swap.to {
            sqlx::query(include_str!("sql/reset_error.sql"))
                .bind(swap.id)
                .execute(&mut *transaction)
                .await?;
            // The status under the row's lock, not as somebody read it before: an error that was recorded a moment ago
            // would stay without its retry.
            let status = read_status(&row, swap.id)?;
            if let Ok(Next::Status(next)) = status.on(Input::NewCode, swap.descriptor.run_mode)
                && next != status
            {
                change_status(&mut transaction, swap.id, status, next).await?;
            }
        }
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Drops the schema of a subscription and its rows. Waits for the batches that are open on its lanes.
    pub async fn remove_subscription(&self, id: &str) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/lock_lanes.sql"))
            .bind(id)
            .fetch_all(&mut *transaction)
            .await?;
        let removed = drop_subscription(&mut transaction, id).await?;
        transaction.commit().await?;
        self.roles().forget(id);
        Ok(removed)
    }
}

/// The end of `remove` and `teardown`, inside the transaction that holds the lanes: rows, schema and roles.
pub(super) async fn drop_subscription(
    connection: &mut PgConnection,
    id: &str,
) -> Result<bool, Error> {
    let is_there = sqlx::query(include_str!("sql/lock_subscription.sql"))
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if is_there {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "DROP SCHEMA IF EXISTS {} CASCADE",
            quote(id)
        )))
        .execute(&mut *connection)
        .await?;
        drop_roles(&mut *connection, id).await?;
        let line: String = sqlx::query_scalar(include_str!("sql/delete_subscription.sql"))
            .bind(id)
            .fetch_one(&mut *connection)
            .await?;
        sqlx::query(include_str!("sql/delete_unreferenced_modules.sql"))
            .execute(&mut *connection)
            .await?;
        sqlx::query(include_str!("sql/forget_line.sql"))
            .bind(&line)
            .execute(&mut *connection)
            .await?;
    }
    notify_control(connection).await?;
    Ok(is_there)
}

/// The first version of a line makes the schema that readers will use, so that it can be granted before anything is in it.
async fn make_line(connection: &mut PgConnection, line: &str, kind: Kind) -> Result<(), Error> {
    let inserted = sqlx::query(include_str!("sql/insert_line.sql"))
        .bind(line)
        .bind(kind_text(kind))
        .execute(&mut *connection)
        .await?;
    // The schema of a processor without a version has the name of its line.
    if inserted.rows_affected() > 0 && kind == Kind::Projector {
        create_schema(connection, line).await?;
        sqlx::query(include_str!("sql/mark_line_schema.sql"))
            .bind(line)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Stops a version for good, and says where. `None`: a batch of it is open and does not end.
async fn stop(connection: &mut PgConnection, id: &str) -> Result<Option<i64>, Error> {
    sqlx::query(include_str!("sql/set_lock_timeout.sql"))
        .bind(PREDECESSOR_PATIENCE)
        .execute(&mut *connection)
        .await?;
    let positions = match lock_lanes(connection, &[id]).await? {
        Ok(positions) => positions,
        Err(Busy) => return Ok(None),
    };
    supersede(connection, id).await?;
    sqlx::query(include_str!("sql/left_live.sql"))
        .bind(id)
        .execute(connection)
        .await?;
    Ok(Some(positions.get(id).copied().unwrap_or(0)))
}

/// The schema of a subscription, with the roles that own and use it.
async fn make_schema(connection: &mut PgConnection, id: &str, walls: Walls) -> Result<(), Error> {
    match walls {
        Walls::None => create_schema(connection, id).await,
        Walls::Roles => {
            refuse_schema(connection, id).await?;
            make_roles(connection, id).await?;
            Ok(())
        }
    }
}

async fn create_schema(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    refuse_schema(connection, name).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "CREATE SCHEMA {}",
        quote(name)
    )))
    .execute(connection)
    .await?;
    Ok(())
}

/// A schema is made once and must be ours: one that somebody else made is never written to.
async fn refuse_schema(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    let exists: bool = sqlx::query_scalar(include_str!("sql/schema_exists.sql"))
        .bind(name)
        .fetch_one(connection)
        .await?;
    if exists {
        return Err(Error::SchemaTaken {
            schema: name.to_owned(),
        });
    }
    Ok(())
}

pub(super) async fn change_status(
    connection: &mut PgConnection,
    id: &str,
    from: Status,
    to: Status,
) -> Result<bool, Error> {
    let changed = sqlx::query(include_str!("sql/change_status.sql"))
        .bind(id)
        .bind(from.name())
        .bind(from.resume().map(|resume| resume.name()))
        .bind(to.name())
        .bind(to.resume().map(|resume| resume.name()))
        .execute(connection)
        .await?;
    Ok(changed.rows_affected() > 0)
}

/// "Look again", to every host, when the transaction commits.
pub(super) async fn notify_control(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(include_str!("sql/notify_control.sql"))
        .execute(connection)
        .await?;
    Ok(())
}

fn read_subscription(row: &PgRow) -> Result<Subscription, Error> {
    let id: String = row.try_get("id")?;
    let sqlx::types::Json(descriptor) =
        row.try_get::<sqlx::types::Json<Descriptor>, _>("descriptor")?;
    let settings: serde_json::Value = row.try_get("settings")?;
    let start_position: i64 = row.try_get("start_position")?;
    let mode: String = row.try_get("run_mode")?;
    Ok(Subscription {
        status: read_status(row, &id)?,
        line: row.try_get("line")?,
        version: row.try_get("version")?,
        kind: descriptor.kind,
        group: row.try_get("group_name")?,
        // A later version of a line may have another than its guest says.
        run_mode: match RunMode::from_parts(&mode, None) {
            Some(stored) => stored,
            None => descriptor.run_mode,
        },
        start_position,
        boot_until: row.try_get("boot_until")?,
        status_since: row.try_get("status_since")?,
        went_live_at: row.try_get("went_live_at")?,
        left_live_at: row.try_get("left_live_at")?,
        muted: row.try_get("muted")?,
        generation: row.try_get("generation")?,
        descriptor,
        settings,
        module: read_digest(row, "module")?,
        revision: row.try_get("revision")?,
        id,
    })
}

pub(super) fn read_status(row: &PgRow, id: &str) -> Result<Status, Error> {
    let (name, resume): (String, Option<String>) = (row.try_get("status")?, row.try_get("resume")?);
    Status::from_parts(&name, resume.as_deref()).ok_or_else(|| Error::UnknownStatus {
        id: id.to_owned(),
        status: name,
    })
}

pub(super) fn read_digest(row: &PgRow, column: &str) -> Result<Digest, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| Error::Database {
        source: sqlx::Error::Decode("a digest is 32 bytes".into()),
    })
}
