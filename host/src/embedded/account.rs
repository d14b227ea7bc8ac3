//! The user that PostgreSQL runs as. It refuses root, so a host that runs as root lends it another.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;

/// Users that a host running as root lends to its server, in this order.
const LENT: [&str; 2] = ["postgres", "nobody"];

/// Who the server runs as.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// The host's own user.
    Own,
    /// Another one, because the host is root.
    Lent {
        name: &'static str,
        uid: u32,
        gid: u32,
    },
}

impl Account {
    pub(super) fn of_the_server() -> Result<Account, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let lent = |name| {
            Some(Account::Lent {
                name,
                uid: id("-u", name)?,
                gid: id("-g", name)?,
            })
        };
        LENT.into_iter().find_map(lent).ok_or(Error::NoAccount)
    }

    pub(super) fn uid(&self) -> u32 {
        match self {
            Account::Own => rustix::process::geteuid().as_raw(),
            Account::Lent { uid, .. } => *uid,
        }
    }

    /// A command run by this user with an empty environment, from `/`: the host's own directory may be closed to it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/");
        if let Account::Lent { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Makes `path` this user's.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Own => Ok(()),
            Account::Lent { uid, gid, .. } => chown(path, Some(*uid), Some(*gid))
                .map_err(Error::file("changing the owner of", path)),
        }
    }

    /// Refuses a `directory` that a lent user cannot reach, naming the place on the way that stops them.
    pub(super) fn check_entrance(&self, directory: &Path) -> Result<(), Error> {
        let Account::Lent { name, .. } = self else {
            return Ok(());
        };
        let mut way: Vec<&Path> = directory.ancestors().collect();
        way.reverse();
        // Asked of the system as that user: mode bits alone miss access lists and mount options.
        let sh = Path::new("/bin/sh");
        let first_closed =
            r#"for place; do [ -x "$place" ] || { printf %s "$place"; exit 0; }; done"#;
        let output = self
            .command(sh)
            .args(["-c", first_closed, "sh"])
            .args(way)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| Error::Spawn {
                program: sh.into(),
                source,
            })?;
        match String::from_utf8_lossy(&output.stdout) {
            blocked if blocked.is_empty() => Ok(()),
            blocked => Err(Error::CannotEnter {
                user: name.to_string(),
                blocked: PathBuf::from(blocked.as_ref()),
                data_root: directory.into(),
            }),
        }
    }
}

/// What `id` says, so that users from any source count, not only those in /etc/passwd.
fn id(flag: &str, user: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([flag, user])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().parse().ok())?
}
