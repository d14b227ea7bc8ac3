//! Modules as they are stored: what they are, who runs them, which are pinned.

use serde::Serialize;
use subscription::Descriptor;
use time::OffsetDateTime;

use super::Error;
use super::status::{FilePlace, held_files};
use crate::store::{Pinned, Store, StoredModule};

/// Fewest characters of a digest that name a module.
const PREFIX_CHARS_MIN: usize = 4;

/// A stored module.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleReport {
    /// SHA-256 in hexadecimal.
    pub digest: String,
    /// The subscriber id that it is for.
    pub id: String,
    pub kind: &'static str,
    pub size_bytes: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub stored_at: OffsetDateTime,
    /// Kept since then, whether anything runs it or not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub pinned_at: Option<OffsetDateTime>,
    /// The subscriptions that run it, or would.
    pub used_by: Vec<String>,
    /// The files that hold these subscriptions, on hosts that are alive; a subscription runs without.
    pub files: Vec<FilePlace>,
    /// On the host that took it up; `null`: not known.
    pub compile_ms: Option<i64>,
    pub imports: Vec<String>,
    pub descriptor: Descriptor,
}

/// All modules that are stored.
pub async fn modules(store: &Store) -> Result<Vec<ModuleReport>, Error> {
    let files = held_files(store).await?;
    let report = |stored: StoredModule| {
        let places = stored.used_by.iter().filter_map(|id| files.get(id));
        ModuleReport {
            files: places.flatten().cloned().collect(),
            digest: hex::encode(stored.digest),
            id: stored.descriptor.id.to_string(),
            kind: stored.descriptor.kind.as_str(),
            size_bytes: stored.size_bytes,
            stored_at: stored.stored_at,
            pinned_at: stored.pinned_at,
            used_by: stored.used_by,
            compile_ms: stored.compile_ms,
            imports: stored.imports,
            descriptor: stored.descriptor,
        }
    };
    let stored = store.modules().await?;
    Ok(stored.into_iter().map(report).collect())
}

/// One module: by the beginning of its digest, or by the subscription that runs it.
pub async fn module(store: &Store, name: &str) -> Result<ModuleReport, Error> {
    let all = modules(store).await?;
    if let Some(found) = all
        .iter()
        .find(|one| one.used_by.iter().any(|id| id == name))
    {
        return Ok(found.clone());
    }
    let lower = name.to_ascii_lowercase();
    let is_digest = lower.len() >= PREFIX_CHARS_MIN && lower.chars().all(|c| c.is_ascii_hexdigit());
    let mut found = all
        .into_iter()
        .filter(|one| is_digest && one.digest.starts_with(&lower));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::AmbiguousModule {
            name: name.to_owned(),
        }),
        (None, _) => Err(Error::UnknownModule {
            name: name.to_owned(),
        }),
    }
}

/// Keeps a module, or lets it go as soon as nothing runs it. What it was before.
pub async fn pin(store: &Store, name: &str, pinned: Pinned) -> Result<ModuleReport, Error> {
    let found = module(store, name).await?;
    let digest = hex::decode(&found.digest).ok();
    let digest = digest.and_then(|bytes| bytes.try_into().ok());
    let digest = digest.expect("it was encoded from 32 bytes");
    store.pin_module(&digest, pinned).await?;
    Ok(found)
}
