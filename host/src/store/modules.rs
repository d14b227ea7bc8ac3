//! The bytes of guests by digest: a subscription runs, and is torn down, without its file.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use subscription::Descriptor;
use time::OffsetDateTime;

use super::subscriptions::read_digest;
use super::{Digest, Error, Store};

/// What is known of a stored module, without its bytes.
#[derive(Clone, Debug)]
pub struct StoredModule {
    pub digest: Digest,
    pub size_bytes: i64,
    pub descriptor: Descriptor,
    pub stored_at: OffsetDateTime,
    pub imports: Vec<String>,
    /// Milliseconds on the host that took it up.
    pub compile_ms: Option<i64>,
    pub pinned_at: Option<OffsetDateTime>,
    /// The subscriptions that run it, or would.
    pub used_by: Vec<String>,
}

impl Store {
    /// Keeps the bytes of a module. Keeping them twice is the same as once.
    pub async fn keep_module(
        &self,
        digest: &Digest,
        bytes: &[u8],
        descriptor: &Descriptor,
    ) -> Result<(), Error> {
        sqlx::query(include_str!("sql/insert_module.sql"))
            .bind(digest.as_slice())
            .bind(bytes)
            .bind(sqlx::types::Json(descriptor))
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Notes what a host found out about a module, if it is kept. Whether it is.
    pub async fn note_module(
        &self,
        digest: &Digest,
        imports: &[String],
        compile_ms: u64,
    ) -> Result<bool, Error> {
        let noted = sqlx::query_scalar(include_str!("sql/note_module.sql"))
            .bind(digest.as_slice())
            .bind(imports)
            .bind(i64::try_from(compile_ms).unwrap_or(i64::MAX));
        Ok(noted.fetch_one(self.pool()).await?)
    }

    /// The bytes of a module, or `None` when no subscription refers to it any more.
    pub async fn module_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/select_module.sql"))
            .bind(digest.as_slice())
            .fetch_optional(self.pool())
            .await?)
    }

    /// All modules that are kept, by the ids that they are for.
    pub async fn modules(&self) -> Result<Vec<StoredModule>, Error> {
        let rows = sqlx::query(include_str!("sql/list_modules.sql"))
            .fetch_all(self.pool())
            .await
            .map_err(Error::from_statement)?;
        rows.iter().map(read_module).collect()
    }

    /// Keeps a module although nothing runs it, or lets it go when nothing does.
    pub async fn pin_module(&self, digest: &Digest, pinned: Pinned) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(include_str!("sql/pin_module.sql"))
            .bind(digest.as_slice())
            .bind(pinned == Pinned::Yes)
            .execute(&mut *transaction)
            .await?;
        if pinned == Pinned::No {
            sqlx::query(include_str!("sql/delete_unreferenced_modules.sql"))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Whether a module is kept although nothing runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    Yes,
    No,
}

fn read_module(row: &PgRow) -> Result<StoredModule, Error> {
    let sqlx::types::Json(descriptor) =
        row.try_get::<sqlx::types::Json<Descriptor>, _>("descriptor")?;
    Ok(StoredModule {
        digest: read_digest(row, "digest")?,
        size_bytes: row.try_get("size_bytes")?,
        descriptor,
        stored_at: row.try_get("stored_at")?,
        imports: row.try_get("imports")?,
        compile_ms: row.try_get("compile_ms")?,
        pinned_at: row.try_get("pinned_at")?,
        used_by: row.try_get("used_by")?,
    })
}
