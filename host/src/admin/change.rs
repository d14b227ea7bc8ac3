//! What a verb did to one subscription, or why it did not.

use serde::Serialize;
use subscription::Status;

use crate::guest::Failure;
use crate::store;

/// What came of a verb for one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub id: String,
    pub result: Done,
    /// The status that the verb found.
    pub before: String,
    /// The status now; `None`: the subscription is no more.
    pub after: Option<String>,
    /// Why it was not done, or what to know about how it was done. Readable alone.
    pub reason: Option<String>,
    /// The guest's teardown that failed.
    pub failure: Option<GuestFailure>,
}

/// Whether a verb did what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    Done,
    /// The rules do not allow it, and nobody named this subscription: it is left as it is.
    Left,
    /// The rules do not allow it for this subscription, which was named.
    Refused,
    /// It was tried and did not work.
    Failed,
}

/// A call of a guest that went wrong, with all that helps to find out why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestFailure {
    pub class: &'static str,
    pub message: String,
    pub backtrace: Option<String>,
    pub output: Option<String>,
}

impl Change {
    pub(super) fn done(id: &str, before: Status, after: Option<Status>) -> Change {
        Change {
            id: id.to_owned(),
            result: Done::Done,
            before: before.to_string(),
            after: after.map(|status| status.to_string()),
            reason: None,
            failure: None,
        }
    }

    /// Not done; `now` is the status that it was left with.
    pub(super) fn not(id: &str, result: Done, before: Status, now: Status, why: String) -> Change {
        Change {
            result,
            reason: Some(format!("{id}: {why}")),
            ..Change::done(id, before, Some(now))
        }
    }

    /// Somebody else removed it while the verb looked at it.
    pub(super) fn vanished(id: &str, before: Status) -> Change {
        Change {
            result: Done::Failed,
            reason: Some(format!("{id}: it was removed meanwhile")),
            ..Change::done(id, before, None)
        }
    }

    /// The database failed while this subscription was changed; the others may still work.
    pub(super) fn broken(id: &str, before: Status, error: store::Error) -> Change {
        let why = with_causes(&error);
        Change::not(id, Done::Failed, before, before, why)
    }

    pub(super) fn with_failure(mut self, failure: &Failure) -> Change {
        self.failure = Some(GuestFailure::from(failure));
        self
    }
}

impl From<&Failure> for GuestFailure {
    fn from(failure: &Failure) -> GuestFailure {
        GuestFailure {
            class: failure.class.as_str(),
            message: failure.message.clone(),
            backtrace: failure.backtrace.clone(),
            output: failure.output.clone(),
        }
    }
}

/// An error with its causes on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
