//! One guest against its row: a new subscription, new code, other settings, or a refusal that says what to do.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subscription::{
    Descriptor, Kind, LineVersion, Part, Registration, RunMode, Start, Status, Stored, outdated,
    register, start, swapped,
};

use super::notice::Notice;
use super::shared::Shared;
use crate::guest::{Module, Settings};
use crate::store::{Digest, Error, NewSubscription, Subscription, Succession, Swap, failpoint};

/// A guest that a file holds.
pub(super) struct Found<'a> {
    pub file: &'a str,
    pub path: PathBuf,
    pub module: Module,
    pub settings: Settings,
    /// It changed while this host looked: a change is taken up, a standing difference between two directories is not.
    pub fresh: bool,
}

/// Nothing to say, or why the guest is refused, in words.
type Verdict = Result<(), String>;

/// Does what follows from a guest and the rows that there are.
pub(super) async fn take_up(
    shared: &Arc<Shared>,
    found: &Found<'_>,
    stored: Option<&Subscription>,
    rows: &[Subscription],
) -> Result<Verdict, Error> {
    let descriptor = found.module.descriptor();
    let line = shared.store.line(descriptor.id.line()).await?;
    let live = line.and_then(|line| line.live);
    let versions = line_versions(descriptor.id.line(), live.as_deref(), rows);
    let known = stored.map(|row| Stored {
        status: row.status,
        descriptor: row.descriptor.clone(),
        digest: row.module,
    });
    let registration = match register(known.as_ref(), descriptor, found.module.digest(), &versions)
    {
        Ok(registration) => registration,
        Err(refused) => return Ok(Err(refused.to_string())),
    };
    if let (Registration::Swap | Registration::Unchanged, Some(row)) = (registration, stored)
        && let Some(why) = differs_elsewhere(shared, found, row).await?
    {
        return Ok(Err(why));
    }
    match (registration, stored) {
        (Registration::New, _) => register_new(shared, found, &versions).await,
        (Registration::Swap, Some(row)) => swap(shared, found, row).await,
        (Registration::Unchanged, Some(row)) => refresh_settings(shared, found, row).await,
        (_, None) => Ok(Ok(())),
    }
}

/// Two hosts whose directories hold different files for one id would take turns for ever: what runs stays, as long as a host that
/// is alive has it, until a file changes.
async fn differs_elsewhere(
    shared: &Shared,
    found: &Found<'_>,
    row: &Subscription,
) -> Result<Option<String>, Error> {
    let same_code = row.module == *found.module.digest();
    if found.fresh || (same_code && stored_form(&found.settings) == row.settings) {
        return Ok(None);
    }
    let hosts = shared.store.hosts().await?;
    let files = shared.store.host_files().await?;
    let holder = files.iter().find(|(host, file)| {
        *host != shared.host
            && file.subscription.as_deref() == Some(&row.id)
            && file.digest == Some(row.module)
            && file.refusal.is_none()
    });
    let Some((host, file)) = holder else {
        return Ok(None);
    };
    let host = hosts.iter().find(|known| known.id == *host);
    let place = host.map_or_else(
        || file.file.clone(),
        |host| {
            format!(
                "{} in {} of the host {}",
                file.file, host.modules, host.name
            )
        },
    );
    let what = if same_code { "settings" } else { "code" };
    Ok(Some(format!(
        "`{}` runs with other {what}, from {place}; this file is left aside while that one is there: put the same files into both directories",
        row.id
    )))
}

async fn register_new(
    shared: &Arc<Shared>,
    found: &Found<'_>,
    versions: &[LineVersion],
) -> Result<Verdict, Error> {
    // From-now means the horizon of this moment, however long setup takes.
    let Some(horizon) = *shared.horizon.borrow() else {
        return Ok(Ok(()));
    };
    let descriptor = found.module.descriptor();
    let by_mode = |mode| match mode {
        RunMode::FromNow => horizon,
        RunMode::FromPosition(position) => position,
        RunMode::FromBeginning | RunMode::Once => 0,
    };
    let repeats = found.settings.versions.repeat_effects;
    let (start_position, succession) = match start(descriptor, versions) {
        Start::As(mode) => {
            let position = by_mode(mode);
            let is_later = descriptor.kind == Kind::Projector && has_earlier(descriptor, versions);
            let succession = if is_later {
                Succession::Later
            } else {
                Succession::First
            };
            (position, succession)
        }
        Start::After(earlier) | Start::Behind(earlier) if repeats => (
            by_mode(descriptor.run_mode),
            Succession::Instead(earlier.to_string()),
        ),
        Start::After(earlier) => (0, Succession::After(earlier.to_string())),
        Start::Behind(earlier) => (0, Succession::Behind(earlier.to_string())),
    };
    if !keep_module(shared, found).await? {
        return Ok(Ok(()));
    }
    let new = NewSubscription {
        descriptor: descriptor.clone(),
        settings: stored_form(&found.settings),
        module: *found.module.digest(),
        start_position,
    };
    match shared.store.register_version(&new, &succession).await {
        Ok(true) => {
            let (id, file) = (&descriptor.id, found.file);
            tracing::info!(subscription = id.as_str(), file, "{id} is new, from {file}");
            shared.notify(Notice::Registered {
                subscription: id.to_string(),
                file: file.to_owned(),
            });
            shared.hint_changes();
            Ok(Ok(()))
        }
        // Another host was faster, or the version before is in a batch.
        Ok(false) => Ok(Ok(())),
        Err(error @ Error::SchemaTaken { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

fn has_earlier(descriptor: &Descriptor, versions: &[LineVersion]) -> bool {
    let earlier = |version: &LineVersion| version.id.version() < descriptor.id.version();
    versions.iter().any(earlier)
}

async fn swap(
    shared: &Arc<Shared>,
    found: &Found<'_>,
    row: &Subscription,
) -> Result<Verdict, Error> {
    if let Err(reason) = check_settings(&found.settings, row) {
        return Ok(Err(reason));
    }
    if !keep_module(shared, found).await? {
        return Ok(Ok(()));
    }
    let digest = found.module.digest();
    if !write_swap(shared, found, row, digest).await? {
        return Ok(Ok(()));
    }
    let file = found.file;
    tracing::info!(
        subscription = row.id,
        file,
        module = hex::encode(&digest[..6]),
        "{} has new code, from {file}",
        row.id
    );
    let waits = outdated(&row.descriptor, found.module.descriptor());
    if !waits.is_empty() {
        let waits: Vec<&str> = waits.into_iter().map(Part::as_str).collect();
        tracing::warn!(
            subscription = row.id,
            "{} says another {} now; `projectionist refresh --id {}` takes over what can be",
            row.id,
            waits.join(", another "),
            row.id
        );
    }
    shared.notify(Notice::Swapped {
        subscription: row.id.clone(),
        file: file.to_owned(),
    });
    shared.hint_changes();
    Ok(Ok(()))
}

async fn refresh_settings(
    shared: &Arc<Shared>,
    found: &Found<'_>,
    row: &Subscription,
) -> Result<Verdict, Error> {
    if stored_form(&found.settings) == row.settings {
        return Ok(Ok(()));
    }
    if let Err(reason) = check_settings(&found.settings, row) {
        return Ok(Err(reason));
    }
    write_swap(shared, found, row, &row.module).await?;
    shared.hint_changes();
    Ok(Ok(()))
}

async fn write_swap(
    shared: &Shared,
    found: &Found<'_>,
    row: &Subscription,
    to: &Digest,
) -> Result<bool, Error> {
    // An operator takes over the rest.
    let descriptor = swapped(&row.descriptor, found.module.descriptor());
    let swap = Swap {
        id: &row.id,
        from: &row.module,
        to,
        descriptor: &descriptor,
        settings: &stored_form(&found.settings),
    };
    shared.store.swap_module(&swap).await
}

/// Stores the bytes of a module, if that was not done before. `false`: the file is another by now, the next look sees it.
async fn keep_module(shared: &Shared, found: &Found<'_>) -> Result<bool, Error> {
    let digest = found.module.digest();
    let imports = found.module.imports();
    let compile_ms = u64::try_from(found.module.compile_time().as_millis()).unwrap_or(u64::MAX);
    let store = &shared.store;
    if store.note_module(digest, &imports, compile_ms).await? {
        return Ok(true);
    }
    let Ok(bytes) = tokio::fs::read(&found.path).await else {
        return Ok(false);
    };
    if Digest::from(Sha256::digest(&bytes)) != *digest {
        return Ok(false);
    }
    let descriptor = found.module.descriptor();
    store.keep_module(digest, &bytes, descriptor).await?;
    store.note_module(digest, &imports, compile_ms).await?;
    failpoint("module-kept");
    Ok(true)
}

fn stored_form(settings: &Settings) -> serde_json::Value {
    serde_json::to_value(settings).expect("settings are maps of texts and numbers")
}

/// Settings that a projector can read are part of its identity: other settings would give other rows.
fn check_settings(new: &Settings, row: &Subscription) -> Result<(), String> {
    let old = Settings::of(row);
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

fn line_versions(line: &str, live: Option<&str>, rows: &[Subscription]) -> Vec<LineVersion> {
    rows.iter()
        .filter(|row| row.line == line)
        .map(|row| LineVersion {
            id: row.descriptor.id.clone(),
            kind: row.kind,
            live: Some(row.id.as_str()) == live,
            attached: !matches!(row.status, Status::Detached(_)),
        })
        .collect()
}
