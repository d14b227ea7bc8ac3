//! The server of a test process: the one in `TEST_DATABASE_URL`, else a private one.
//!
//! A private cluster is prepared once, with the template database in it, and kept under the target directory. Each test
//! process copies it to a temporary place and runs it there without fsync; the copy goes when the process ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use projectionist::embedded::{Cluster, Fsync, Options};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{database, target_dir};

/// Prepared transactions that tests may have at a time.
const MAX_PREPARED_TRANSACTIONS: u32 = 10;

/// A server in which tests create databases.
pub struct Server {
    url_of: Box<dyn Fn(&str) -> String + Send + Sync>,
    /// Both end with the process. They are never dropped, because statics are not.
    _private: Option<(Cluster, Child)>,
}

impl Server {
    /// The URL of a database in this server.
    pub fn url_of(&self, database: &str) -> String {
        (self.url_of)(database)
    }
}

/// The server of this process, with the template database in it.
pub async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER.get_or_init(start).await
}

async fn start() -> Server {
    let server = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => Server {
            url_of: Box::new(move |database| with_database(&url, database)),
            _private: None,
        },
        Err(_) => start_private().await,
    };
    database::make_template(&server.url_of("postgres"), |database| {
        server.url_of(database)
    })
    .await;
    server
}

async fn start_private() -> Server {
    let place = enterable_directory().keep();
    let remover = remove_at_exit(&place);
    copy_prepared(&place.join("data")).await;
    let cluster = Cluster::acquire(options(&place))
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    let url = cluster.url().to_string();
    Server {
        url_of: Box::new(move |database| with_database(&url, database)),
        _private: Some((cluster, remover)),
    }
}

fn options(place: &Path) -> Options {
    Options {
        data_root: Some(place.join("data")),
        fsync: Fsync::Off,
        max_prepared_transactions: MAX_PREPARED_TRANSACTIONS,
        ..Options::default()
    }
}

/// A temporary directory that the server's user can pass through.
pub fn enterable_directory() -> TempDir {
    let place = tempfile::Builder::new()
        .prefix("pj-test-")
        .tempdir()
        .expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).expect("its mode");
    place
}

/// Puts a copy of the prepared cluster into a data root that is not there yet, so that it starts without `initdb`.
pub async fn copy_prepared(data_root: &Path) {
    let kept = target_dir().join("test-cluster");
    fs::create_dir_all(&kept).expect("a directory under target/");
    let lock = File::create(kept.join("lock")).expect("the lock of the prepared cluster");
    // Test processes may start together, and the first one prepares. It lets go when the file is closed, at the end.
    lock.lock().expect("locked");
    let prepared = kept.join(database::template_name());
    if !prepared.is_dir() {
        prepare(&kept, &prepared).await;
    }
    fs::create_dir(data_root).expect("the data root");
    fs::set_permissions(data_root, fs::Permissions::from_mode(0o711)).expect("its mode");
    copy_tree(&prepared, &data_root.join("pg")).expect("copied the prepared cluster");
}

/// Makes the cluster in a temporary place, because the server's user may not be able to enter the target directory.
async fn prepare(kept: &Path, prepared: &Path) {
    let place = enterable_directory();
    let cluster = Cluster::acquire(options(place.path()))
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    database::make_template(&cluster.url_of("postgres"), |database| {
        cluster.url_of(database)
    })
    .await;
    cluster.shutdown().await.expect("stopped");
    // What older migrations left behind is of no use any more.
    for entry in fs::read_dir(kept)
        .expect("the directory of prepared clusters")
        .flatten()
    {
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).expect("removed an older prepared cluster");
        }
    }
    let unfinished = kept.join("unfinished");
    copy_tree(&place.path().join("data/pg"), &unfinished).expect("copied the new cluster");
    fs::rename(unfinished, prepared).expect("renamed the new cluster");
}

/// Copies directories and files with their modes, which PostgreSQL insists on.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A shell that waits until this process has ended, however it ends, and its server too; then it removes the directory.
fn remove_at_exit(place: &Path) -> Child {
    let script = r#"while read -r _; do :; done
        for i in 1 2 3 4 5 6 7 8 9 10; do [ -e "$1/data/pg/postmaster.pid" ] || break; sleep 1; done
        rm -rf "$1""#;
    Command::new("/bin/sh")
        .args(["-c", script, "remover"])
        .arg(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell")
}

/// `url` with another database in it.
fn with_database(url: &str, database: &str) -> String {
    let (before, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(url, query)| {
            (url, format!("?{query}"))
        });
    let authority = before.find("://").map_or(0, |at| at + 3);
    let end = before[authority..]
        .find('/')
        .map_or(before.len(), |at| authority + at);
    format!("{}/{database}{query}", &before[..end])
}

#[test]
fn puts_a_database_into_a_url() {
    for (url, expected) in [
        (
            "postgres://u:p@h:5432/old?sslmode=disable",
            "postgres://u:p@h:5432/new?sslmode=disable",
        ),
        ("postgres://u@%2Ftmp%2Fs/old", "postgres://u@%2Ftmp%2Fs/new"),
        ("postgres://h", "postgres://h/new"),
    ] {
        assert_eq!(with_database(url, "new"), expected);
    }
}
