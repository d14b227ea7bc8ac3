//! What can go wrong on floor 1, in the terms a caller can act on.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the database URL cannot be read; it looks like postgres://user:password@host:5432/database")]
    BadUrl { source: sqlx::Error },
    #[error("no connection to the database; check that it runs and that the URL names it")]
    Connect { source: sqlx::Error },
    #[error("the database could not be migrated")]
    Migrate { source: sqlx::migrate::MigrateError },
    #[error("the database refused a statement")]
    Database {
        #[from]
        source: sqlx::Error,
    },
    #[error("the schema {schema} exists already and was not made for a subscription; rename it, or bump the guest's id")]
    SchemaTaken { schema: String },
    #[error("subscription {id} has status {status}, which this version of projectionist does not know; use the version that wrote it")]
    UnknownStatus { id: String, status: String },
}

impl Error {
    /// The database is out of reach or busy with itself: the same work has a better chance in a moment.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Connect { .. } => true,
            Error::Database { source } => {
                let text = source.to_string();
                match source.as_database_error().and_then(|error| error.code()) {
                    Some(code) => code.starts_with("08") || code.starts_with("57P") || matches!(&*code, "40001" | "40P01" | "53300"),
                    None => !matches!(source, sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) | sqlx::Error::RowNotFound) || text.contains("closed"),
                }
            }
            _ => false,
        }
    }
}
