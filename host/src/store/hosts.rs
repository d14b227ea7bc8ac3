//! Who runs, and what each host found in its directory. No lease hangs on these rows.

use std::time::Duration;

use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use super::subscriptions::read_digest;
use super::{Digest, Error, Store, Walls};

/// A host that has not been seen for so long counts as gone.
pub const HOST_LIFETIME: Duration = Duration::from_secs(10);

/// A running host.
#[derive(Clone, Debug)]
pub struct HostRow {
    pub id: Uuid,
    pub name: String,
    pub modules: String,
    pub walls: Walls,
    pub started_at: OffsetDateTime,
    pub seen_at: OffsetDateTime,
}

/// What a host found in one file of its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    pub file: String,
    pub digest: Option<Digest>,
    /// The subscription that the file holds.
    pub subscription: Option<String>,
    /// Why the file was refused.
    pub refusal: Option<String>,
}

impl Store {
    /// Says that a host is alive, and forgets those that are not.
    pub async fn keep_host(&self, id: Uuid, name: &str, modules: &str) -> Result<(), Error> {
        sqlx::query(include_str!("sql/keep_host.sql"))
            .bind(id)
            .bind(name)
            .bind(modules)
            .bind(self.walls().text())
            .execute(self.pool())
            .await?;
        sqlx::query(include_str!("sql/delete_dead_hosts.sql"))
            .bind(HOST_LIFETIME.as_millis() as i64 * 6)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// A host that leaves says so.
    pub async fn delete_host(&self, id: Uuid) -> Result<(), Error> {
        sqlx::query(include_str!("sql/delete_host.sql"))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The hosts that run now.
    pub async fn hosts(&self) -> Result<Vec<HostRow>, Error> {
        let rows = sqlx::query(include_str!("sql/list_hosts.sql"))
            .bind(HOST_LIFETIME.as_millis() as i64)
            .fetch_all(self.pool())
            .await?;
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(HostRow {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                modules: row.try_get("modules")?,
                walls: Walls::parse(row.try_get("walls")?),
                started_at: row.try_get("started_at")?,
                seen_at: row.try_get("seen_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Replaces what is known of a host's directory.
    pub async fn keep_host_files(&self, host: Uuid, files: &[HostFile]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        for file in files {
            sqlx::query(include_str!("sql/keep_host_file.sql"))
                .bind(host)
                .bind(&file.file)
                .bind(file.digest.as_ref().map(|digest| digest.as_slice()))
                .bind(&file.subscription)
                .bind(&file.refusal)
                .execute(&mut *transaction)
                .await?;
        }
        let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
        sqlx::query(include_str!("sql/delete_gone_host_files.sql"))
            .bind(host)
            .bind(names)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What the hosts that run now found in their directories.
    pub async fn host_files(&self) -> Result<Vec<(Uuid, HostFile)>, Error> {
        let rows = sqlx::query(include_str!("sql/list_host_files.sql"))
            .bind(HOST_LIFETIME.as_millis() as i64)
            .fetch_all(self.pool())
            .await?;
        let read = |row: &sqlx::postgres::PgRow| {
            let digest = row
                .try_get::<Option<Vec<u8>>, _>("digest")?
                .map(|_| read_digest(row, "digest"))
                .transpose()?;
            let file = HostFile {
                file: row.try_get("file")?,
                digest,
                subscription: row.try_get("subscription")?,
                refusal: row.try_get("refusal")?,
            };
            Ok((row.try_get("host")?, file))
        };
        rows.iter().map(read).collect()
    }
}
