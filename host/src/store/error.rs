//! What can go wrong on floor 1, in the terms a caller can act on.

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
    #[error("the database refused a statement")]
    Database {
        #[from]
        source: sqlx::Error,
    },
}
