//! What `doctor` asks the server: its version, its clock, its connections, and what everybody may do in the database.

use sqlx::Row as _;

use super::{Error, Store};

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct Health {
    /// As in `150018`.
    pub version: i32,
    /// Microseconds since 1970 by the server's clock.
    pub now_micros: i64,
    pub connections_max: i32,
    pub connections_used: i64,
    pub role: String,
    pub is_superuser: bool,
    pub database: String,
    /// PUBLIC, and with it every guest, may make temporary tables.
    pub public_may_make_temporary: bool,
    /// PUBLIC, and with it every guest, may make things in the schema public.
    pub public_may_create: bool,
}

impl Store {
    /// Nothing is changed, and nothing of ours need be there.
    pub async fn health(&self) -> Result<Health, Error> {
        let row = sqlx::query(include_str!("sql/read_health.sql"))
            .fetch_one(self.pool())
            .await?;
        Ok(Health {
            version: row.try_get("version")?,
            now_micros: row.try_get("now_micros")?,
            connections_max: row.try_get("connections_max")?,
            connections_used: row.try_get("connections_used")?,
            role: row.try_get("role")?,
            is_superuser: row.try_get("is_superuser")?,
            database: row.try_get("database")?,
            public_may_make_temporary: row.try_get("public_may_make_temporary")?,
            public_may_create: row.try_get("public_may_create")?,
        })
    }

    /// Whether the host may make roles, and the subscriptions whose roles are missing or not as they should be.
    pub async fn examine_walls(&self) -> Result<Vec<String>, Error> {
        self.check_rights().await?;
        sqlx::query_scalar(include_str!("sql/list_roles_amiss.sql"))
            .fetch_all(self.pool())
            .await
            .map_err(Error::from_statement)
    }
}
