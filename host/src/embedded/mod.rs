//! The private PostgreSQL of a host that was given no database: a native cluster of its own that lives and dies with it.
//!
//! One data root holds everything:
//!
//! ```text
//! lock          held by the owner, and by its supervisor until the server is down
//! pg/           the cluster
//! socket/       the server's only way in; nothing listens on TCP
//! postgres.log  what the server has to say
//! cache/        left to the host
//! ```

mod account;
mod binaries;
mod cluster;
mod error;
mod files;
mod pid_file;
mod root;
mod server;
mod supervisor;

use std::path::{Path, PathBuf};

use account::Account;
pub use error::Error;
pub use root::default_data_root;
use root::{DataRoot, Lock};
use server::Server;

/// The database that is made in a new cluster.
pub const DATABASE: &str = "projectionist";

/// The superuser of the cluster. Whoever reaches the socket may be it: the socket's directory is closed to others.
pub const SUPERUSER: &str = "postgres";

/// Connections that the server accepts, unless told otherwise.
pub const MAX_CONNECTIONS: u32 = 400;

/// Whether the server waits for the disk. Off is for tests: a crash of the machine then loses the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    #[default]
    On,
    Off,
}

/// What to do when another process owns the data root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attach {
    /// Use its server. The server goes when its owner goes.
    Allowed,
    #[default]
    Refused,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where everything is kept. `None`: `PROJECTIONIST_DATA_DIR`, else the place that fits the user and the system.
    pub data_root: Option<PathBuf>,
    /// Where `initdb` and `postgres` are. `None`: `PROJECTIONIST_PG_BIN`, else they are looked for.
    pub binaries: Option<PathBuf>,
    pub fsync: Fsync,
    pub attach: Attach,
    /// Transactions that may be prepared at a time; 0 refuses two-phase commit, as PostgreSQL does by default.
    pub max_prepared_transactions: u32,
}

/// A running private server. Its owner stops it, by [`Cluster::shutdown`], by dropping this, or by dying.
pub struct Cluster {
    url: String,
    data_root: PathBuf,
    socket_dir: PathBuf,
    bin_dir: Option<PathBuf>,
    server: Option<Server>,
}

impl Cluster {
    /// Starts the server of the data root, or finds the one that another process runs there.
    pub async fn acquire(options: Options) -> Result<Cluster, Error> {
        let asked = options.clone();
        let root =
            blocking(move || DataRoot::open(asked.data_root, &Account::of_the_server()?)).await?;
        let (lock, root) = match root::lock(root, options.attach).await? {
            (Lock::Ours(file), root) => (file, root),
            (Lock::Theirs, root) => return server::attach(&root).await,
        };
        let (server, socket_dir, bin_dir) = blocking({
            let (options, root) = (options.clone(), root.clone());
            move || {
                let (binaries, socket_dir) = cluster::prepare(&root, &options)?;
                let server = Server::spawn(&root, &binaries, &socket_dir, lock, &options)?;
                Ok((server, socket_dir, binaries.dir))
            }
        })
        .await?;
        let mut cluster = Cluster::at(root.path, socket_dir);
        cluster.bin_dir = Some(bin_dir);
        server::wait_until_ready(server, &mut cluster).await?;
        Ok(cluster)
    }

    fn at(data_root: PathBuf, socket_dir: PathBuf) -> Cluster {
        Cluster {
            url: server::url_of(&socket_dir, DATABASE),
            data_root,
            socket_dir,
            bin_dir: None,
            server: None,
        }
    }

    /// A URL of the database `projectionist`, for this host's driver and for `psql` alike.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A URL of another database of this cluster.
    pub fn url_of(&self, database: &str) -> String {
        server::url_of(&self.socket_dir, database)
    }

    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Whether the server ends with this process.
    pub fn is_owner(&self) -> bool {
        self.server.is_some()
    }

    /// A command that a person can paste to look into the database.
    pub fn psql_hint(&self) -> String {
        let bundled = self
            .bin_dir
            .as_ref()
            .map(|dir| dir.join("psql"))
            .filter(|psql| psql.is_file());
        let psql = match bundled {
            Some(path) if binaries::on_path("psql").is_none() => {
                shell_word(&path.to_string_lossy())
            }
            _ => "psql".to_string(),
        };
        let socket_dir = shell_word(&self.socket_dir.to_string_lossy());
        format!("{psql} -h {socket_dir} -U {SUPERUSER} {DATABASE}")
    }

    /// Stops the server and waits until it is down. A server that belongs to another process is left alone.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        match self.server.take() {
            Some(server) => blocking(move || server.stop()).await,
            None => Ok(()),
        }
    }
}

/// Runs what waits for files and child processes off the asynchronous threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
}

/// `text` as one word of a shell command.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_can_be_pasted_even_with_a_space_in_the_path() {
        let cluster = Cluster::at("/data".into(), "/Library/Application Support/socket".into());
        assert_eq!(
            cluster.psql_hint(),
            "psql -h '/Library/Application Support/socket' -U postgres projectionist"
        );
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
