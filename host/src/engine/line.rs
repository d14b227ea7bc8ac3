//! What the rows say about a module that wants to be one of them.

use subscription::{Kind, LineVersion, Status};

use crate::guest::Settings;
use crate::store::Subscription;

/// Settings that a projector can read are part of its identity: other settings would give other rows.
pub(super) fn check_settings(new: &Settings, row: &Subscription) -> Result<(), String> {
    let old: Settings = serde_json::from_value(row.settings.clone()).unwrap_or_default();
    if row.kind == Kind::Projector && old.settings != new.settings {
        return Err(format!(
            "the [settings] of {} changed; a projector can read them, so rows written before and after would differ: bump the id to {}_{}, or put the old settings back",
            row.id,
            row.line,
            row.version + 1
        ));
    }
    Ok(())
}

/// The versions of a line that are known here.
pub(super) fn line_versions(line: &str, rows: &[Subscription]) -> Vec<LineVersion> {
    let of_line = || rows.iter().filter(|row| row.line == line);
    // Until versions of a line are switched, readers see the highest that is attached.
    let live = of_line()
        .filter(|row| !matches!(row.status, Status::Detached(_)))
        .map(|row| row.version)
        .max();
    of_line()
        .map(|row| LineVersion {
            id: row.descriptor.id.clone(),
            kind: row.kind,
            live: Some(row.version) == live,
        })
        .collect()
}
