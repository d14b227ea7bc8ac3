//! The roles that subscriptions run as: made with their rows, mended when a host starts, and whether there are any at all.

use sqlx::{PgConnection, Row as _};

use super::batch::patience_ms;
use super::{Error, Store};

/// What the SQL of guests runs as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Walls {
    /// Each subscription as two roles of its own, which reach nothing but its schema.
    #[default]
    Roles,
    /// As the host's own role, since the operator said so: guests must be trusted.
    None,
}

impl Walls {
    /// The text in the table of hosts.
    pub(super) fn text(self) -> &'static str {
        match self {
            Walls::Roles => "roles",
            Walls::None => "none",
        }
    }

    pub(super) fn parse(text: &str) -> Walls {
        match text {
            "none" => Walls::None,
            _ => Walls::Roles,
        }
    }
}

/// Which of the two roles of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Duty {
    /// Owns the schema: `setup` and `teardown`.
    Owner,
    /// Reads and writes tables: `handle`.
    Handler,
}

impl Duty {
    pub fn text(self) -> &'static str {
        match self {
            Duty::Owner => "owner",
            Duty::Handler => "handler",
        }
    }
}

impl Store {
    /// Checks that roles can be made, and gives every subscription those that it lacks: it was registered before there were
    /// roles, or the database is a copy of another one. Returns the subscriptions whose roles were made or mended.
    pub async fn raise_walls(&self) -> Result<Vec<String>, Error> {
        if self.walls() == Walls::None {
            return Ok(Vec::new());
        }
        self.check_rights().await?;
        let amiss: Vec<String> = sqlx::query_scalar(include_str!("sql/list_roles_amiss.sql"))
            .fetch_all(self.pool())
            .await?;
        for id in &amiss {
            self.make_roles_of(id).await?;
        }
        Ok(amiss)
    }

    /// Ends the transactions of hosts that are frozen: those whose session is idle for so many times as long as the server lets it.
    /// The server ends them by itself, unless a guest talked it out of that.
    pub async fn end_stuck_sessions(&self, times: f64) -> Result<(), Error> {
        let patience = |duty| f64::from(patience_ms(duty)) * times;
        sqlx::query(include_str!("sql/end_stuck_sessions.sql"))
            .bind(patience(Duty::Owner))
            .bind(patience(Duty::Handler))
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Makes or mends the roles of one subscription. `false`: there is no such subscription.
    pub(in crate::store) async fn make_roles_of(&self, id: &str) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let made = make_roles(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(made)
    }

    pub(super) async fn check_rights(&self) -> Result<(), Error> {
        let row = sqlx::query(include_str!("sql/check_rights.sql"))
            .fetch_one(self.pool())
            .await?;
        let role: String = row.try_get("role")?;
        if row.try_get("may_make_roles")? {
            return Ok(());
        }
        Err(Error::NoRoles { role })
    }
}

/// In the transaction that wrote the subscription.
pub(super) async fn make_roles(connection: &mut PgConnection, id: &str) -> Result<bool, Error> {
    sqlx::query_scalar(include_str!("sql/make_roles.sql"))
        .bind(id)
        .fetch_one(connection)
        .await
        .map_err(without_rights)
}

/// In the transaction that deletes the subscription, whose schema is gone.
pub(super) async fn drop_roles(connection: &mut PgConnection, id: &str) -> Result<(), Error> {
    sqlx::query(include_str!("sql/drop_roles.sql"))
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Says what to do about a refusal that only another role can lift.
fn without_rights(source: sqlx::Error) -> Error {
    let refusal = source.as_database_error();
    match refusal.and_then(|refusal| refusal.code()).as_deref() {
        Some("42501") => Error::RolesRefused { source },
        _ => Error::Database { source },
    }
}
