//! Why there is no private server, and what to do about it.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "no PostgreSQL was found (looked for initdb and postgres in {searched}); install it (Debian: apt-get install \
         postgresql; macOS: brew install postgresql), name its directory in PROJECTIONIST_PG_BIN, or use a server of \
         yours with --database-url URL"
    )]
    NotFound { searched: String },
    #[error(
        "PROJECTIONIST_PG_BIN is {dir}, but initdb and postgres are not both there; name the directory that holds them \
         (Debian: /usr/lib/postgresql/VERSION/bin, after apt-get install postgresql)"
    )]
    NotInNamedDirectory { dir: PathBuf },
    #[error("PostgreSQL {found} in {dir} is too old; install version {oldest} or newer")]
    TooOld {
        dir: PathBuf,
        found: u32,
        oldest: u32,
    },
    #[error(
        "the cluster {cluster} was made by PostgreSQL {wanted}, but only {found} was found; install that version \
         (Debian: apt-get install postgresql-{wanted}), or start afresh with another PROJECTIONIST_DATA_DIR"
    )]
    OtherVersion {
        cluster: PathBuf,
        wanted: u32,
        found: String,
    },
    #[error(
        "the data directory {data_root} is in use by process {holder}; a second host shares a database that both can \
         reach: pass --database-url URL (or stop the other process, or set PROJECTIONIST_DATA_DIR)"
    )]
    InUse { data_root: PathBuf, holder: String },
    #[error(
        "process {holder} holds {data_root}, but its PostgreSQL did not become ready within {waited_s} s; see \
         {data_root}/postgres.log, and try again"
    )]
    OwnerNotReady {
        data_root: PathBuf,
        holder: String,
        waited_s: u64,
    },
    #[error(
        "no place for the data: neither XDG_DATA_HOME nor HOME is set; name a directory in PROJECTIONIST_DATA_DIR"
    )]
    NoHome,
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as; create \
         one (useradd --system postgres), or run the host as another user"
    )]
    NoAccount,
    #[error(
        "PostgreSQL runs as user {user}, who cannot enter {blocked}, on the way to {data_root}; let them pass (chmod o+x \
         {blocked}), or name another directory in PROJECTIONIST_DATA_DIR"
    )]
    CannotEnter {
        user: String,
        blocked: PathBuf,
        data_root: PathBuf,
    },
    #[error(
        "the path {path} cannot be used for PostgreSQL: {reason}; name another directory in PROJECTIONIST_DATA_DIR"
    )]
    UnusablePath { path: PathBuf, reason: &'static str },
    #[error("{doing} {path} failed")]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{program} could not be started; check that it is a working installation of PostgreSQL"
    )]
    Spawn { program: PathBuf, source: io::Error },
    #[error("initdb failed ({status}) to create a cluster in {cluster}:\n{output}")]
    InitFailed {
        cluster: PathBuf,
        status: String,
        output: String,
    },
    #[error(
        "the cluster {cluster} is still in use by process {pid}, which does not end; stop it (kill -INT {pid}) and try again"
    )]
    Orphan { cluster: PathBuf, pid: u32 },
    #[error("PostgreSQL ended ({status}) before it was ready; the end of {log}:\n{tail}")]
    Ended {
        status: String,
        log: PathBuf,
        tail: String,
    },
    #[error("PostgreSQL was not ready after {waited_s} s; the end of {log}:\n{tail}")]
    NotReady {
        waited_s: u64,
        log: PathBuf,
        tail: String,
    },
    #[error(
        "PostgreSQL did not stop within {waited_s} s; see {log}; it goes on stopping by itself"
    )]
    NotStopped { waited_s: u64, log: PathBuf },
    #[error("the private PostgreSQL runs, but the database {database} could not be made")]
    Database {
        database: &'static str,
        source: sqlx::Error,
    },
}

impl Error {
    /// For `map_err`: what was being done to which file.
    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File {
            doing,
            path,
            source,
        }
    }
}
