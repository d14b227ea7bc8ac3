//! What a guest is told when a statement or a row operation of its own fails. A guest's failure is data.

use sqlx::error::DatabaseError;

/// An error for the guest. `kind` is an open set, named in the guest interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GuestError {
    pub kind: &'static str,
    pub message: String,
    pub sqlstate: Option<String>,
    /// The batch would meet the same statement again with a better chance: lost connection, deadlock, serialization failure.
    pub retryable: bool,
}

impl GuestError {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> GuestError {
        GuestError {
            kind,
            message: message.into(),
            sqlstate: None,
            retryable: false,
        }
    }

    /// An error of a statement of the guest's own making. A guest can end its session as often as it likes, so a connection
    /// that is lost meanwhile is the statement's failure and not free of charge.
    pub(super) fn of_the_guest(self) -> GuestError {
        if !self.retryable || self.is_conflict() {
            return self;
        }
        GuestError {
            kind: "connection-lost",
            message: format!(
                "the connection was lost while the statement ran: {}",
                self.message
            ),
            sqlstate: self
                .sqlstate
                .or_else(|| Some(CONNECTION_FAILURE.to_owned())),
            retryable: false,
        }
    }

    /// The transaction is lost after an earlier error; nothing that follows can help.
    pub(super) fn aborted(first: &GuestError) -> GuestError {
        GuestError::new(
            "aborted",
            format!(
                "the batch's transaction is aborted since an earlier statement failed: {}",
                first.message
            ),
        )
    }
}

/// SQLSTATEs after which the same batch deserves another go without blame: serialization failure, deadlock, too many
/// connections, and the server's own shutdown codes.
const RETRYABLE_SQLSTATES: [&str; 6] = ["40001", "40P01", "53300", "57P01", "57P02", "57P03"];

/// Serialization failure and deadlock.
const CONFLICTS: [&str; 2] = ["40001", "40P01"];

/// The SQLSTATE of a lost connection, which the server could not send any more.
const CONNECTION_FAILURE: &str = "08006";

impl GuestError {
    /// Whether an error passes by itself: the connection was lost, or the server asks for another go.
    pub(super) fn is_passing(error: &sqlx::Error) -> bool {
        match error.as_database_error() {
            Some(database) => database
                .code()
                .is_some_and(|code| RETRYABLE_SQLSTATES.contains(&&*code)),
            None => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::Protocol(_)
            ),
        }
    }

    /// Whether it is one of two that the server let fail so that the other could go on.
    pub(super) fn is_a_conflict(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| CONFLICTS.contains(&&*code))
    }
}

impl GuestError {
    /// The database resolved a conflict with somebody else against this batch.
    pub fn is_conflict(&self) -> bool {
        self.sqlstate
            .as_deref()
            .is_some_and(|sqlstate| CONFLICTS.contains(&sqlstate))
    }

    /// What the server answered to a statement.
    pub(super) fn of_answer(database: &dyn DatabaseError) -> GuestError {
        let sqlstate = database.code().map(|code| code.into_owned());
        let retryable = sqlstate
            .as_deref()
            .is_some_and(|code| RETRYABLE_SQLSTATES.contains(&code));
        let kind = match sqlstate.as_deref() {
            _ if retryable => "unavailable",
            Some("42501") => "denied",
            Some("57014") => "timeout",
            Some("25P02") => "aborted",
            _ => "database",
        };
        let mut message = database.message().to_owned();
        if let Some(postgres) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
            && let Some(detail) = postgres.detail()
        {
            message.push_str(&format!(" ({detail})"));
        }
        GuestError {
            kind,
            message,
            sqlstate,
            retryable,
        }
    }
}

impl From<sqlx::Error> for GuestError {
    fn from(error: sqlx::Error) -> GuestError {
        if let Some(database) = error.as_database_error() {
            return GuestError::of_answer(database);
        }
        let retryable = GuestError::is_passing(&error);
        GuestError {
            kind: if retryable { "unavailable" } else { "database" },
            message: error.to_string(),
            sqlstate: None,
            retryable,
        }
    }
}
