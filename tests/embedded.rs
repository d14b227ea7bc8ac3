//! The private server: it lives and dies with its owner, keeps its data, and says what is wrong.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use projectionist::embedded::{Attach, Cluster, Error, Fsync, Options};
use rustix::process::{Pid, Signal};
use sqlx::{Connection, PgConnection};

use crate::support::cluster::{copy_prepared, enterable_directory};
use crate::support::{PATIENCE, eventually};

/// Says to the test binary, started again, whose data root it shall own.
const OWNED_ROOT: &str = "PROJECTIONIST_TEST_OWNED_ROOT";

/// A place with a cluster in it, so that nobody waits for `initdb`.
async fn prepared_place() -> tempfile::TempDir {
    let place = enterable_directory();
    copy_prepared(&place.path().join("data")).await;
    place
}

fn options(place: &tempfile::TempDir) -> Options {
    Options {
        data_root: Some(place.path().join("data")),
        fsync: Fsync::Off,
        ..Options::default()
    }
}

async fn acquire(options: Options) -> Cluster {
    Cluster::acquire(options).await.expect("a private server")
}

async fn refusal(options: Options) -> Error {
    match Cluster::acquire(options).await {
        Ok(_) => panic!("the server was not refused"),
        Err(refusal) => refusal,
    }
}

async fn ask(url: &str, question: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(question)
        .fetch_one(&mut connection)
        .await
}

async fn execute(url: &str, command: &'static str) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    sqlx::raw_sql(command)
        .execute(&mut connection)
        .await
        .expect(command);
}

/// Another process that owns the data root until it is killed.
struct Owner {
    process: Child,
    url: String,
}

impl Owner {
    fn start(root: &Path) -> Owner {
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args([
                "--exact",
                "embedded::owns_a_data_root_until_killed",
                "--nocapture",
            ])
            .env(OWNED_ROOT, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the owner");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let url = lines
            .map(|line| line.expect("a line"))
            .find_map(|line| line.split_once("url=").map(|(_, url)| url.to_string()))
            .expect("the owner's URL");
        Owner { process, url }
    }

    fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process group of a process: the third field behind its name in /proc/PID/stat.
fn group_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

/// Not a test of its own: the other process of the tests below.
#[tokio::test]
async fn owns_a_data_root_until_killed() {
    let Some(root) = std::env::var_os(OWNED_ROOT) else {
        return;
    };
    let options = Options {
        data_root: Some(root.into()),
        fsync: Fsync::Off,
        ..Options::default()
    };
    let cluster = acquire(options).await;
    println!("url={}", cluster.url());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn starts_in_an_empty_place_and_serves_only_through_its_socket() {
    let place = enterable_directory();
    let cluster = acquire(options(&place)).await;
    assert!(cluster.is_owner());
    assert_eq!(
        ask(cluster.url(), "SELECT current_database()::text")
            .await
            .expect("answer"),
        "projectionist"
    );
    for (setting, value) in [
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("jit", "off"),
    ] {
        let question = format!("SELECT current_setting('{setting}')");
        assert_eq!(
            ask(cluster.url(), question.leak()).await.expect("answer"),
            value,
            "{setting}"
        );
    }
    let mode = fs::metadata(cluster.socket_dir())
        .expect("the socket's directory")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let shell = Command::new("sh")
        .arg("-c")
        .arg(format!("{} -Atc 'SELECT 42'", cluster.psql_hint()))
        .output();
    assert_eq!(
        String::from_utf8_lossy(&shell.expect("psql").stdout).trim(),
        "42",
        "{}",
        cluster.psql_hint()
    );
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn keeps_its_data_over_a_restart() {
    let place = prepared_place().await;
    let cluster = acquire(options(&place)).await;
    execute(
        cluster.url(),
        "CREATE TABLE public.kept AS SELECT 'still here'::text AS what",
    )
    .await;
    let url = cluster.url().to_string();
    cluster.shutdown().await.expect("stopped");
    assert!(
        ask(&url, "SELECT 1::text").await.is_err(),
        "the server is down after shutdown"
    );

    // Dropping does as well; the next owner waits for the server that is on its way out.
    drop(acquire(options(&place)).await);
    let cluster = acquire(options(&place)).await;
    assert_eq!(
        ask(cluster.url(), "SELECT what FROM public.kept")
            .await
            .expect("answer"),
        "still here"
    );
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn goes_down_cleanly_when_its_owner_is_killed() {
    let place = prepared_place().await;
    let mut owner = Owner::start(&place.path().join("data"));
    execute(
        &owner.url,
        "CREATE TABLE public.kept AS SELECT 'still here'::text AS what",
    )
    .await;
    let url = owner.url.clone();
    owner.kill();
    let pid_file = place.path().join("data/pg/postmaster.pid");
    eventually(PATIENCE, async || {
        match (ask(&url, "SELECT 1::text").await, pid_file.exists()) {
            (Err(_), false) => Ok(()),
            (answer, pid_file) => Err(format!(
                "answer {answer:?}, postmaster.pid there: {pid_file}"
            )),
        }
    })
    .await;
    // It says so last of all, after the file is gone.
    let log = place.path().join("data/postgres.log");
    eventually(PATIENCE, async || {
        let log = fs::read_to_string(&log).expect("the log");
        let is_clean = log.contains("received fast shutdown request")
            && log.contains("database system is shut down");
        is_clean.then_some(()).ok_or(log)
    })
    .await;

    let cluster = acquire(options(&place)).await;
    assert_eq!(
        ask(cluster.url(), "SELECT what FROM public.kept")
            .await
            .expect("answer"),
        "still here"
    );
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn takes_over_at_once_from_an_owner_that_was_killed() {
    let place = prepared_place().await;
    Owner::start(&place.path().join("data")).kill();
    // No waiting in between: the dead owner's server may still be stopping.
    let cluster = acquire(Options {
        attach: Attach::Allowed,
        ..options(&place)
    })
    .await;
    assert!(cluster.is_owner());
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn a_second_process_attaches_or_is_refused() {
    let place = prepared_place().await;
    let owner = Owner::start(&place.path().join("data"));
    let second = acquire(Options {
        attach: Attach::Allowed,
        ..options(&place)
    })
    .await;
    assert!(!second.is_owner());
    assert_eq!(second.url(), owner.url);
    second.shutdown().await.expect("left");
    assert!(
        ask(&owner.url, "SELECT 1::text").await.is_ok(),
        "leaving does not stop the owner's server"
    );

    let refusal = refusal(Options {
        attach: Attach::Refused,
        ..options(&place)
    })
    .await
    .to_string();
    for said in [
        format!("process {}", owner.process.id()),
        "--database-url".into(),
        "PROJECTIONIST_DATA_DIR".into(),
    ] {
        assert!(refusal.contains(&said), "{said:?} is missing in: {refusal}");
    }
}

#[tokio::test]
async fn a_stale_pid_file_does_not_stop_a_start() {
    let place = prepared_place().await;
    let cluster = acquire(options(&place)).await;
    let pid_file = cluster.data_root().join("pg/postmaster.pid");
    cluster.shutdown().await.expect("stopped");
    // The number now belongs to a living process that is no PostgreSQL: this one.
    fs::write(
        &pid_file,
        format!("{}\n{}\n", std::process::id(), pid_file.display()),
    )
    .expect("written");
    let cluster = acquire(options(&place)).await;
    assert!(ask(cluster.url(), "SELECT 1::text").await.is_ok());
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn a_server_that_lost_host_and_supervisor_is_replaced() {
    let place = prepared_place().await;
    let mut owner = Owner::start(&place.path().join("data"));
    let pid_file = place.path().join("data/pg/postmaster.pid");
    let orphan: i32 = fs::read_to_string(&pid_file)
        .expect("a pid")
        .lines()
        .next()
        .expect("a line")
        .parse()
        .expect("a pid");
    // The supervisor and its watch are killed first: nobody is left to stop the server.
    let group = group_of(orphan).expect("the orphan's group");
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|pid| *pid != orphan && group_of(*pid) == Some(group)) {
            let pid = Pid::from_raw(pid).expect("a process");
            rustix::process::kill_process(pid, Signal::KILL).expect("killed");
        }
    }
    owner.kill();
    assert!(
        ask(&owner.url, "SELECT 1::text").await.is_ok(),
        "the orphan serves on"
    );
    let cluster = acquire(options(&place)).await;
    assert!(cluster.is_owner() && ask(cluster.url(), "SELECT 1::text").await.is_ok());
    let now = fs::read_to_string(&pid_file).expect("a pid");
    assert!(
        !now.starts_with(&format!("{orphan}\n")),
        "a new server has taken over: {now}"
    );
    cluster.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn a_long_path_gets_its_socket_elsewhere() {
    let place = enterable_directory();
    let long = place.path().join("d".repeat(60)).join("e".repeat(60));
    let cluster = acquire(Options {
        data_root: Some(long.clone()),
        ..options(&place)
    })
    .await;
    let socket_dir: PathBuf = cluster.socket_dir().into();
    assert!(!socket_dir.starts_with(&long), "{socket_dir:?}");
    assert!(ask(cluster.url(), "SELECT 1::text").await.is_ok());
    cluster.shutdown().await.expect("stopped");
    fs::remove_dir_all(socket_dir).expect("removed");
}

#[tokio::test]
async fn missing_binaries_are_named() {
    let place = enterable_directory();
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let refusal = refusal(Options {
        binaries: Some(empty.clone()),
        ..options(&place)
    })
    .await
    .to_string();
    for said in [
        empty.to_str().expect("text"),
        "initdb and postgres",
        "apt-get install postgresql",
        "PROJECTIONIST_PG_BIN",
    ] {
        assert!(refusal.contains(said), "{said:?} is missing in: {refusal}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let place = prepared_place().await;
    acquire(options(&place))
        .await
        .shutdown()
        .await
        .expect("stopped");
    let conf = place.path().join("data/pg/postgresql.conf");
    let text = fs::read_to_string(&conf).expect("its configuration");
    fs::write(&conf, format!("{text}\nno_such_setting = 1\n")).expect("written");
    let refusal = refusal(options(&place)).await.to_string();
    assert!(
        refusal.contains("before it was ready") && refusal.contains("no_such_setting"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_place_that_the_servers_user_cannot_enter_is_named() {
    if !rustix::process::geteuid().is_root() {
        return; // Only a lent user can be kept out.
    }
    let place = enterable_directory();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    let refusal = refusal(options(&place)).await.to_string();
    let blocked = place.path().to_str().expect("text");
    assert!(
        refusal.contains(&format!("cannot enter {blocked},")) && refusal.contains("chmod o+x"),
        "{refusal}"
    );
}
