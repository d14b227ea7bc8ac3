//! `postmaster.pid`: who serves a cluster, and whether the one it names still does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Error;
use super::root::read_or_empty;

/// How long a server that outlived both its host and its supervisor may take to stop.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);

/// The lines of the file that matter here. A server that is just starting has not written all of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: Option<i32>,
    pub socket_dir: Option<PathBuf>,
}

impl PidFile {
    pub(super) fn read(cluster: &Path) -> PidFile {
        PidFile::parse(&read_or_empty(&path(cluster)))
    }

    fn parse(text: &str) -> PidFile {
        let line = |number: usize| {
            text.lines()
                .nth(number - 1)
                .map(str::trim)
                .filter(|line| !line.is_empty())
        };
        // A single-user server writes its number negated.
        let pid = line(1)
            .and_then(|line| line.parse::<i32>().ok())
            .map(i32::abs);
        PidFile {
            pid,
            socket_dir: line(5).map(PathBuf::from),
        }
    }
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// Makes way for a new server. The caller holds the data root, so a server that still runs here has lost its host:
/// it is stopped. A file that names no server of this cluster is stale and goes: PostgreSQL itself would refuse to start
/// when some other process has got the number meanwhile, which is usual after the restart of a container.
pub(super) fn make_way(cluster: &Path) -> Result<(), Error> {
    let path = path(cluster);
    if !path.exists() {
        return Ok(());
    }
    // Without /proc (macOS) nothing can be proven, and PostgreSQL's own check has the last word.
    if !Path::new("/proc/self/cwd").exists() {
        return Ok(());
    }
    let began = Instant::now();
    let mut asked = false;
    while let Some(&pid) = processes_in(cluster).first() {
        // Only the postmaster is asked: it ends its children in order. Children without one notice and end by themselves.
        let postmaster = PidFile::read(cluster).pid == Some(pid.as_raw_nonzero().get());
        if postmaster && !asked {
            tracing::warn!(
                pid = pid.as_raw_nonzero().get(),
                "stopping a PostgreSQL whose host is gone"
            );
            rustix::process::kill_process(pid, Signal::INT).ok();
            asked = true;
        }
        if began.elapsed() > ORPHAN_TIMEOUT {
            return Err(Error::Orphan {
                cluster: cluster.into(),
                pid: pid.as_raw_nonzero().get().cast_unsigned(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match fs::remove_file(&path) {
        Err(failure) if failure.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            doing: "removing the stale",
            path,
            source: failure,
        }),
        _ => Ok(()),
    }
}

/// The processes that work in `cluster`, the named postmaster first: every process of a server has its cluster as its
/// working directory.
fn processes_in(cluster: &Path) -> Vec<Pid> {
    let named = PidFile::read(cluster).pid;
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let works_here =
        |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster);
    let mut found: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(number)
        .filter(works_here)
        .collect();
    found.sort_by_key(|pid| Some(*pid) != named);
    found.into_iter().filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_and_half_written_files() {
        let whole =
            "4711\n/data/pg\n1700000000\n5432\n/data/socket\n\n  5432001    163840\nready   \n";
        let socket_dir = Some(PathBuf::from("/data/socket"));
        assert_eq!(
            PidFile::parse(whole),
            PidFile {
                pid: Some(4711),
                socket_dir
            }
        );
        assert_eq!(
            PidFile::parse("4711\n/data/pg\n"),
            PidFile {
                pid: Some(4711),
                socket_dir: None
            }
        );
        assert_eq!(PidFile::parse(""), PidFile::default());
    }

    #[test]
    fn a_number_taken_over_by_another_process_is_stale() {
        let cluster = tempfile::tempdir().expect("a directory");
        let file = path(cluster.path());
        fs::write(
            &file,
            format!("{}\n{}\n", std::process::id(), cluster.path().display()),
        )
        .expect("written");
        make_way(cluster.path()).expect("stale");
        assert!(!file.exists());
    }
}
