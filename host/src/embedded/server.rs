//! The running server: started, waited for, attached to, stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use sqlx::{Connection, PgConnection};

use super::binaries::Binaries;
use super::pid_file::PidFile;
use super::root::DataRoot;
use super::{
    Cluster, DATABASE, Error, Fsync, MAX_CONNECTIONS, Options, SUPERUSER, files, supervisor,
};

/// How long a start may take: recovery after a crash reads the log of the database back.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a stop may take: it writes everything to the disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a server in transition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// From this size on, in bytes, a log is put aside at the next start.
const LOG_BYTES: u64 = 8 << 20;

/// A server of ours. It stops when this is dropped.
pub(super) struct Server {
    supervisor: Child,
    lock: File,
    log: PathBuf,
    log_began: u64,
}

impl Server {
    pub(super) fn spawn(
        root: &DataRoot,
        binaries: &Binaries,
        socket_dir: &Path,
        lock: File,
        options: &Options,
    ) -> Result<Server, Error> {
        let path = root.log();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES) {
            fs::rename(&path, path.with_extension("log.old"))
                .map_err(Error::file("renaming", &path))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::file("opening", &path))?;
        let log_began = log
            .metadata()
            .map_err(Error::file("looking at", &path))?
            .len();
        let shared_lock = lock
            .try_clone()
            .map_err(Error::file("sharing", root.path.join("lock")))?;
        let arguments = arguments(&root.cluster(), socket_dir, options);
        let supervisor = supervisor::spawn(
            &root.account,
            &binaries.postgres(),
            &arguments,
            shared_lock,
            log,
        )?;
        Ok(Server {
            supervisor,
            lock,
            log: path,
            log_began,
        })
    }

    /// Whether `pid` is the server that our supervisor started: it is in the supervisor's process group.
    fn is_ours(&self, pid: i32) -> bool {
        let group = Pid::from_raw(pid).and_then(|pid| rustix::process::getpgid(Some(pid)).ok());
        group.is_some_and(|group| {
            group.as_raw_nonzero().get().cast_unsigned() == self.supervisor.id()
        })
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().ok().flatten()
    }

    fn log_tail(&self) -> String {
        files::tail(&self.log, self.log_began)
    }

    /// Closes the pipe and waits for the server to go.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        drop(self.supervisor.stdin.take());
        let began = Instant::now();
        while self.ended().is_none() {
            if began.elapsed() > STOP_TIMEOUT {
                return Err(Error::NotStopped {
                    waited_s: STOP_TIMEOUT.as_secs(),
                    log: self.log.clone(),
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Unsigned, the lock tells whoever waits for it that no host is behind it any more. Nothing is lost if this fails.
        self.lock.set_len(0).ok();
    }
}

/// How the server is started. On the command line and not in a file, so that it always fits this version of the host.
fn arguments(cluster: &Path, socket_dir: &Path, options: &Options) -> Vec<String> {
    let on_or_off = |fsync: Fsync| if fsync == Fsync::On { "on" } else { "off" };
    let quoted_dir = format!("\"{}\"", socket_dir.to_string_lossy().replace('"', "\"\""));
    let settings = [
        ("listen_addresses", String::new()),
        ("port", "5432".into()),
        ("unix_socket_directories", quoted_dir),
        ("unix_socket_permissions", "0700".into()),
        ("max_connections", MAX_CONNECTIONS.to_string()),
        (
            "max_prepared_transactions",
            options.max_prepared_transactions.to_string(),
        ),
        ("fsync", on_or_off(options.fsync).into()),
        ("full_page_writes", on_or_off(options.fsync).into()),
        // Batches are many small statements: compiling them costs more than it saves.
        ("jit", "off".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("log_destination", "stderr".into()),
        ("logging_collector", "off".into()),
        ("cluster_name", "projectionist".into()),
    ];
    let mut arguments = vec!["-D".to_string(), cluster.to_string_lossy().into_owned()];
    arguments.extend(
        settings
            .into_iter()
            .flat_map(|(name, value)| ["-c".into(), format!("{name}={value}")]),
    );
    arguments
}

/// A URL that this host's driver and `psql` both understand.
pub(super) fn url_of(socket_dir: &Path, database: &str) -> String {
    let word = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes()
            .map(|b| {
                if plain(b) {
                    (b as char).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect::<String>()
    };
    // Port and sslmode are said because PGPORT and PGSSLMODE in the environment would otherwise count.
    let host = word(&socket_dir.to_string_lossy());
    format!(
        "postgres://{SUPERUSER}@{host}:5432/{}?sslmode=disable",
        word(database)
    )
}

/// Waits until the server that was just started takes connections, and makes the database when it is new.
pub(super) async fn wait_until_ready(
    mut server: Server,
    cluster: &mut Cluster,
) -> Result<(), Error> {
    let began = Instant::now();
    let directory = cluster.data_root.join("pg");
    let mut connection = loop {
        // Our own process and no other: an answer on the socket alone might come from a server that is just leaving.
        if PidFile::read(&directory)
            .pid
            .is_some_and(|pid| server.is_ours(pid))
            && let Ok(connection) = PgConnection::connect(&cluster.url_of("postgres")).await
        {
            break connection;
        }
        let (log, tail) = (server.log.clone(), || server.log_tail());
        if began.elapsed() > START_TIMEOUT {
            return Err(Error::NotReady {
                waited_s: START_TIMEOUT.as_secs(),
                log,
                tail: tail(),
            });
        }
        if let Some(status) = server.ended() {
            return Err(Error::Ended {
                status: status.to_string(),
                log,
                tail: server.log_tail(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    make_database(&mut connection)
        .await
        .map_err(|source| Error::Database {
            database: DATABASE,
            source,
        })?;
    cluster.server = Some(server);
    Ok(())
}

async fn make_database(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there: bool = sqlx::query_scalar(include_str!("sql/find_database.sql"))
        .bind(DATABASE)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        sqlx::raw_sql(include_str!("sql/create_database.sql"))
            .execute(&mut *connection)
            .await?;
        sqlx::raw_sql(include_str!("sql/forbid_temporary_tables.sql"))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Whether another process's server of this data root serves our database.
pub(super) async fn is_ready(root: &DataRoot) -> bool {
    match PidFile::read(&root.cluster()).socket_dir {
        Some(socket_dir) => PgConnection::connect(&url_of(&socket_dir, DATABASE))
            .await
            .is_ok(),
        None => false,
    }
}

/// The server of another process, which is ready.
pub(super) async fn attach(root: &DataRoot) -> Result<Cluster, Error> {
    match PidFile::read(&root.cluster()).socket_dir {
        Some(socket_dir) => Ok(Cluster::at(root.path.clone(), socket_dir)),
        None => Err(Error::UnusablePath {
            path: root.cluster(),
            reason: "its server has just gone; try again",
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn the_url_survives_the_driver() {
        let url = url_of(
            Path::new("/Library/Application Support/socket"),
            "projectionist",
        );
        assert_eq!(
            url,
            "postgres://postgres@%2FLibrary%2FApplication%20Support%2Fsocket:5432/projectionist?sslmode=disable"
        );
        let options = PgConnectOptions::from_str(&url).expect("a URL");
        assert_eq!(
            options.get_socket().map(PathBuf::as_path),
            Some(Path::new("/Library/Application Support/socket"))
        );
        assert_eq!(options.get_database(), Some("projectionist"));
        assert_eq!(
            (options.get_username(), options.get_port()),
            ("postgres", 5432)
        );
    }
}
