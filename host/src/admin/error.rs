//! What an operator's verb cannot do at all. What it could not do to one subscription is a [`super::Change`].

use crate::store;

/// An error of a verb.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ids that no subscription has, and those that are spelled alike.
    #[error("no subscription has the id {}", listed(ids))]
    UnknownIds { ids: Vec<String>, near: Vec<String> },
    /// Groups that no subscription is in, and those that there are.
    #[error("no subscription is in the group {}", listed(groups))]
    UnknownGroups {
        groups: Vec<String>,
        known: Vec<String>,
    },
    #[error("none of the subscriptions with these ids is in one of these groups")]
    NothingMatches,
    #[error("{id} is in a batch that has not ended within {seconds} s, so it could not be stopped")]
    BatchOpen { id: String, seconds: u64 },
    #[error("no module that is stored is named {name}")]
    UnknownModule { name: String },
    #[error("several modules have digests that begin with {name}")]
    AmbiguousModule { name: String },
    #[error("there are no subscriptions to wait for")]
    NobodyToWaitFor,
    #[error("no engine for guests could be made on this machine")]
    Runtime {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file to check, or the settings beside it.
    #[error("{file} cannot be read")]
    Unreadable {
        file: String,
        source: std::io::Error,
    },
    /// Nothing is wrong with the module: it could not be compiled here.
    #[error("the module could not be compiled on this machine")]
    NotCompiled { source: crate::guest::CompileError },
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// What to do about it, where somebody knows.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::UnknownIds { near, .. } if near.is_empty() => {
                Some("`projectionist status` lists all subscriptions".to_owned())
            }
            Error::UnknownIds { near, .. } => Some(format!("did you mean {}?", listed(near))),
            Error::UnknownGroups { known, .. } if known.is_empty() => {
                Some("there are no subscriptions yet".to_owned())
            }
            Error::UnknownGroups { known, .. } => Some(format!("the groups are {}", listed(known))),
            Error::NothingMatches => Some(
                "ids and groups given together mean subscriptions that fit both; give one of them alone"
                    .to_owned(),
            ),
            Error::BatchOpen { id, .. } => Some(format!(
                "try again, or `projectionist pause --id {id}` first, which gives the batch up"
            )),
            Error::UnknownModule { .. } => Some(
                "`projectionist modules` lists them; name one by four or more digits of its digest, or by the id of a subscription"
                    .to_owned(),
            ),
            Error::AmbiguousModule { .. } => Some("give more digits".to_owned()),
            Error::NobodyToWaitFor => Some(
                "`projectionist status` lists them; a host registers those of its directory when it starts"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
