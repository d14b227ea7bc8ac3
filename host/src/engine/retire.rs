//! Dropping versions that are not kept any longer.

use std::collections::{BTreeMap, HashMap};

use subscription::Keep;

use super::notice::Notice;
use super::shared::Shared;
use crate::guest::Settings;
use crate::store::{Error, KeptVersion, Retired, Subscription};

/// Drops what is over. `told`: what could not be dropped and was said already.
pub(super) async fn look(
    shared: &Shared,
    told: &mut HashMap<String, String>,
) -> Result<bool, Error> {
    let mut by_line: BTreeMap<String, Vec<KeptVersion>> = BTreeMap::new();
    for version in shared.store.kept_versions().await? {
        by_line
            .entry(version.live.clone())
            .or_default()
            .push(version);
    }
    let mut dropped = false;
    for (live, versions) in by_line {
        let Some(row) = shared.store.subscription(&live).await? else {
            continue;
        };
        let kept = versions.iter().map(|version| version.kept.clone());
        for over in keep_of(shared, &row).over(kept.collect()) {
            let Some(version) = versions.iter().find(|version| version.kept == over) else {
                continue;
            };
            dropped |= retire(shared, version, told).await?;
        }
    }
    Ok(dropped)
}

/// The operator's word for the live version, else its guest's, else the host's.
fn keep_of(shared: &Shared, live: &Subscription) -> Keep {
    let settings: Settings = serde_json::from_value(live.settings.clone()).unwrap_or_default();
    settings
        .versions
        .keep
        .or_else(|| live.descriptor.keep())
        .unwrap_or(shared.keep)
}

async fn retire(
    shared: &Shared,
    version: &KeptVersion,
    told: &mut HashMap<String, String>,
) -> Result<bool, Error> {
    let id = &version.kept.id;
    match shared.store.retire(version).await? {
        Retired::NotNow => Ok(false),
        Retired::Refused(what) => {
            if told.insert(id.clone(), what.clone()).as_ref() != Some(&what) {
                tracing::warn!(
                    subscription = id,
                    "{id} is not kept any longer and cannot be dropped: {what}; drop that, or remove {id} with all of it"
                );
            }
            Ok(false)
        }
        Retired::Done => {
            tracing::info!(
                subscription = id,
                "{id} is dropped: {} is live and it was kept long enough",
                version.live
            );
            shared.notify(Notice::Retired {
                subscription: id.clone(),
            });
            shared.hint_changes();
            Ok(true)
        }
    }
}
