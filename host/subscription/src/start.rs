//! Where a new subscription begins: as it says itself, or where its line stands.

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Kind, LineVersion, RunMode, SubscriberId};

/// Where a new subscription begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// By this run mode.
    As(RunMode),
    /// Where this earlier version of its line stopped; that one is stopped first.
    After(SubscriberId),
    /// At the beginning and muted, up to where this earlier version stands, which works on until then.
    Behind(SubscriberId),
}

/// Where `found` begins, given all known versions of its line.
///
/// The run mode that a guest names holds for the first version of a line only. A later projector is built from
/// the beginning (and still ends if it runs once), since its tables are new. A later processor goes on after
/// the live version, or the highest earlier one, since history must cause no effects twice; one that rebuilds its state
/// goes through history before that, without effects.
pub fn start(found: &Descriptor, line_versions: &[LineVersion]) -> Start {
    let predecessor = line_versions
        .iter()
        .filter(|version| version.id.version() < found.id.version())
        .max_by_key(|version| (version.live, version.id.version()));
    match (predecessor, found.kind, found.run_mode) {
        (None, _, own) => Start::As(own),
        (Some(_), Kind::Projector, RunMode::Once) => Start::As(RunMode::Once),
        (Some(_), Kind::Projector, _) => Start::As(RunMode::FromBeginning),
        (Some(version), Kind::Processor, _) if found.rebuilds_state() => {
            Start::Behind(version.id.clone())
        }
        (Some(version), Kind::Processor, _) => Start::After(version.id.clone()),
    }
}
