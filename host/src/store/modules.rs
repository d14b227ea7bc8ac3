//! The bytes of guests by digest: a subscription runs, and is torn down, without its file.

use subscription::Descriptor;

use super::{Digest, Error, Store};

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

    /// The bytes of a module, or `None` when no subscription refers to it any more.
    pub async fn module_bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(sqlx::query_scalar(include_str!("sql/select_module.sql"))
            .bind(digest.as_slice())
            .fetch_optional(self.pool())
            .await?)
    }
}
