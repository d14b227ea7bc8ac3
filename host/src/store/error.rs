//! What can go wrong on floor 1, in the terms a caller can act on.

use sqlx::postgres::PgDatabaseError;

use super::GuestError;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "the database URL cannot be read; it looks like postgres://user:password@host:5432/database"
    )]
    BadUrl { source: sqlx::Error },
    #[error("no connection to the database; check that it runs and that the URL names it")]
    Connect { source: sqlx::Error },
    #[error("the database could not be migrated")]
    Migrate { source: sqlx::migrate::MigrateError },
    #[error("the database has no event log of this version")]
    NotMigrated { source: sqlx::Error },
    /// The stream is at another version than the appender expected (PJ001). Read it again and decide again.
    #[error("{message}")]
    WrongVersion { message: String },
    /// The id belongs to an event of another stream or type (PJ002).
    #[error("{message}")]
    IdTaken { message: String },
    /// Events never change (PJ003).
    #[error("{message}")]
    Immutable { message: String },
    /// What was given is not an event (PJ004).
    #[error("{message}")]
    BadEvent { message: String },
    #[error(
        "the server is a standby, where open writers cannot be seen, so events cannot be read in safe order; use the URL \
         of the primary server"
    )]
    Standby,
    #[error("there is no sequence {sequence} to number the events; run `projectionist migrate`")]
    NoSequence { sequence: String },
    #[error(
        "events cannot be read in safe order: the sequence {sequence} has {found}; mend it with: ALTER SEQUENCE {sequence} \
         {wanted}"
    )]
    UnsafeSequence {
        sequence: String,
        found: String,
        wanted: &'static str,
    },
    #[error("an event could not be written as JSON")]
    Encode { source: serde_json::Error },
    #[error("the database refused a statement")]
    Database {
        #[from]
        source: sqlx::Error,
    },
    /// The host is not told to go on without roles, and cannot make any.
    #[error(
        "the role {role} may not make roles, and each guest needs two of its own, so that its SQL reaches nothing but its own schema: \
         ALTER ROLE {role} CREATEROLE INHERIT; or, for guests that you trust with all that {role} may do, --without-roles"
    )]
    NoRoles { role: String },
    #[error(
        "the roles of a subscription cannot be made with the rights of this database user; it needs CREATEROLE, and CREATE on the \
         database; --without-roles runs the SQL of guests with the rights of the host instead"
    )]
    RolesRefused { source: sqlx::Error },
    #[error(
        "the server does not let the role of {subscription} log in; pg_hba.conf must let roles of this database in by password \
         (scram-sha-256) from where the host runs"
    )]
    RoleLogin {
        subscription: String,
        source: sqlx::Error,
    },
    #[error(
        "the schema {schema} exists already and was not made for a subscription; rename it, or bump the guest's id"
    )]
    SchemaTaken { schema: String },
    #[error(
        "subscription {id} has status {status}, which this version of projectionist does not know; use the version that wrote it"
    )]
    UnknownStatus { id: String, status: String },
}

impl Error {
    /// Sorts what the database answered to a statement on the log.
    pub fn from_statement(source: sqlx::Error) -> Error {
        let Some(refusal) = source.as_database_error() else {
            return Error::Database { source };
        };
        let message = refusal.message().to_owned();
        match refusal.code().as_deref() {
            Some("PJ001") => Error::WrongVersion { message },
            Some("PJ002") => Error::IdTaken { message },
            Some("PJ003") => Error::Immutable { message },
            Some("PJ004") => Error::BadEvent { message },
            // No schema, no table, no function.
            Some("3F000" | "42P01" | "42883") => Error::NotMigrated { source },
            // Given to another stream at the same moment, so that `append` could not see it in time.
            Some("23505") if refusal.constraint() == Some("events_id_is_unique") => {
                Error::IdTaken { message }
            }
            _ => Error::Database { source },
        }
    }

    /// What the database advises, where it does.
    pub fn database_hint(&self) -> Option<&str> {
        match self {
            Error::Database { source }
            | Error::Connect { source }
            | Error::NotMigrated { source } => source
                .as_database_error()?
                .try_downcast_ref::<PgDatabaseError>()?
                .hint(),
            _ => None,
        }
    }

    /// The database is out of reach or busy with itself: the same work has a better chance in a moment.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Connect { .. } => true,
            Error::Database { source } => GuestError::is_passing(source),
            _ => false,
        }
    }
}
