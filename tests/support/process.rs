//! A host as a process of its own, which can be frozen and killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use projectionist::store::FAILPOINT_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use super::{PATIENCE, eventually, guests, target_dir};

/// The real binary, running `run`. Killed when it is dropped.
pub struct HostProcess {
    child: Child,
    output: NamedTempFile,
}

impl HostProcess {
    /// Starts a host over a directory of modules.
    pub fn start(url: &str, modules: &Path) -> HostProcess {
        HostProcess::start_with(url, modules, |command| command)
    }

    /// Starts a host that kills itself at a failpoint.
    pub fn dying_at(url: &str, modules: &Path, failpoint: &str) -> HostProcess {
        HostProcess::start_with(url, modules, |command| {
            command.env(FAILPOINT_VARIABLE, failpoint)
        })
    }

    /// Starts a host with more words or variables.
    pub fn start_with(
        url: &str,
        modules: &Path,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> HostProcess {
        HostProcess::start_caching(url, modules, &compiled_modules(), change)
    }

    /// The same with a cache of compiled modules of its own.
    pub fn start_caching(
        url: &str,
        modules: &Path,
        cache: &Path,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> HostProcess {
        let output = NamedTempFile::new().expect("a file for the output");
        let file = output.reopen().expect("the file again");
        let mut command = Command::new(env!("CARGO_BIN_EXE_projectionist"));
        command
            .args(["run", "--modules"])
            .arg(modules)
            .args(["--database-url", url, "--cache-dir"])
            .arg(cache);
        let child = change(&mut command)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the file again"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        HostProcess { child, output }
    }

    /// Freezes the process where it is: what it has open stays open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Waits until it has killed itself.
    pub async fn until_dead(mut self) {
        let status = eventually(PATIENCE * 2, async || {
            let ended = self.child.try_wait().expect("a child of ours");
            ended.ok_or_else(|| format!("it runs on:\n{}", self.output()))
        })
        .await;
        assert_eq!(status.code(), None, "killed, not ended: {}", self.output());
    }

    /// Waits until it has ended, killed or not.
    pub async fn until_ended(mut self) {
        eventually(PATIENCE * 2, async || {
            let ended = self.child.try_wait().expect("a child of ours");
            ended.ok_or_else(|| format!("it runs on:\n{}", self.output()))
        })
        .await;
    }

    /// Asks the host to stop and waits for it; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().expect("gone").code()
    }

    /// Asks the host to stop, and lets others run until it has; its exit code and all that it printed.
    pub async fn stopped_within(mut self, limit: Duration) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        let status = eventually(limit, async || {
            let ended = self.child.try_wait().expect("a child of ours");
            ended.ok_or_else(|| format!("it runs on:\n{}", self.output()))
        })
        .await;
        (status.code(), self.output())
    }

    /// What the host printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output.path()).unwrap_or_default()
    }

    /// What the process has in memory, in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number of KiB")
            / 1024
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Native code of guests, kept from one test run to the next.
pub fn compiled_modules() -> PathBuf {
    target_dir().join("test-compiled-modules")
}

/// A directory that holds these guests.
pub fn modules(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in names {
        let to = directory.path().join(format!("{name}.wasm"));
        fs::copy(guests::path(name), to).expect("copied");
    }
    directory
}
