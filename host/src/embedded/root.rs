//! The data root: where it is, who may use it, and what lies where in it.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use sha2::{Digest, Sha256};

use super::account::Account;
use super::{Attach, Error, files, server};

/// The longest path of a socket that every system takes, in bytes.
const SOCKET_PATH_BYTES: usize = 103;

/// The name PostgreSQL gives its socket. The port is only part of this name: nothing listens on it.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// How long the server of another process may take to become ready, or to go once its owner is gone.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a server in transition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An existing data root, absolute and open to the server's user.
#[derive(Clone, Debug)]
pub(super) struct DataRoot {
    pub path: PathBuf,
    pub account: Account,
}

/// Where the data of this user is kept when nobody says otherwise. It need not exist.
pub fn default_data_root() -> Result<PathBuf, Error> {
    let variable = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    usual_place(variable, &Account::of_the_server()?)
}

impl DataRoot {
    pub(super) fn open(asked: Option<PathBuf>, account: &Account) -> Result<DataRoot, Error> {
        let asked = match asked {
            Some(path) => path,
            None => usual_place(
                |name| {
                    env::var_os(name)
                        .filter(|value| !value.is_empty())
                        .map(PathBuf::from)
                },
                account,
            )?,
        };
        if !asked.is_dir() {
            let parent = asked.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(parent).map_err(Error::file("making the directory", parent))?;
            // A lent user has to pass through; what it may not see is closed one level down.
            let mode = if matches!(account, Account::Own) {
                0o700
            } else {
                0o711
            };
            files::make_directory(&asked, mode)?;
        }
        let path =
            fs::canonicalize(&asked).map_err(Error::file("opening the directory", &asked))?;
        if path.to_str().is_none() {
            return Err(Error::UnusablePath {
                path,
                reason: "it is not UTF-8",
            });
        }
        account.check_entrance(&path)?;
        Ok(DataRoot {
            path,
            account: account.clone(),
        })
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.path.join("pg")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// The directory of the socket, made and closed to others. Where the data root's own path is too long for a socket,
    /// one in the temporary directory stands in, named after the data root.
    pub(super) fn make_socket_dir(&self) -> Result<PathBuf, Error> {
        let places = [Some(env::temp_dir()), Some(PathBuf::from("/tmp"))]
            .into_iter()
            .flatten();
        let stand_ins = places.map(|place| place.join(stand_in_name(&self.path)));
        let mut candidates = std::iter::once(self.path.join("socket")).chain(stand_ins);
        let Some(directory) = candidates.find(|dir| fits_a_socket(dir)) else {
            return Err(Error::UnusablePath {
                path: self.path.clone(),
                reason: "it is too long for a socket",
            });
        };
        files::make_directory(&directory, 0o700)?;
        // In a directory that everybody can write to, somebody else may have been here before us.
        let found =
            fs::symlink_metadata(&directory).map_err(Error::file("looking at", &directory))?;
        let ours = [self.account.uid(), rustix::process::geteuid().as_raw()];
        if !found.is_dir() || !ours.contains(&found.uid()) {
            return Err(Error::UnusablePath {
                path: directory,
                reason: "it belongs to somebody else",
            });
        }
        files::set_mode(&directory, 0o700)?;
        self.account.own(&directory)?;
        Ok(directory)
    }
}

fn fits_a_socket(directory: &Path) -> bool {
    directory.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_BYTES
}

fn stand_in_name(data_root: &Path) -> String {
    let digest = Sha256::digest(data_root.as_os_str().as_encoded_bytes());
    format!("projectionist-{}", hex::encode(&digest[..8]))
}

/// Where the data goes when nobody says.
fn usual_place(
    variable: impl Fn(&str) -> Option<PathBuf>,
    account: &Account,
) -> Result<PathBuf, Error> {
    if let Some(named) = variable("PROJECTIONIST_DATA_DIR") {
        return Ok(named);
    }
    if matches!(account, Account::Lent { .. }) {
        return Ok("/var/lib/projectionist".into());
    }
    let home = || variable("HOME").ok_or(Error::NoHome);
    let data = match variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        Some(directory) => directory,
        None if cfg!(target_os = "macos") => home()?.join("Library/Application Support"),
        None => home()?.join(".local/share"),
    };
    Ok(data.join("projectionist"))
}

/// The outcome of asking for the data root.
pub(super) enum Lock {
    /// Ours as long as this file, or a copy of it in a child, is open.
    Ours(File),
    /// Another living process has it, and attaching is allowed.
    Theirs,
}

/// Takes the data root, or finds that its owner's server is ready for us.
pub(super) async fn lock(root: DataRoot, attach: Attach) -> Result<(Lock, DataRoot), Error> {
    let path = root.path.join("lock");
    let open = || {
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
    };
    let mut file = open().map_err(Error::file("opening", &path))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => {
                sign(&mut file).map_err(Error::file("writing", &path))?;
                return Ok((Lock::Ours(file), root));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => {
                return Err(Error::File {
                    doing: "locking",
                    path,
                    source,
                });
            }
        }
        let signature = fs::read_to_string(&path).unwrap_or_default();
        let holder = signature.trim().to_string();
        // A holder that is dead has left its supervisor behind for the moment that the server needs to stop.
        let alive = holder
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .is_some_and(is_alive);
        match attach {
            Attach::Refused if alive => {
                return Err(Error::InUse {
                    data_root: root.path,
                    holder,
                });
            }
            Attach::Allowed if alive && server::is_ready(&root).await => {
                return Ok((Lock::Theirs, root));
            }
            Attach::Allowed | Attach::Refused => {}
        }
        if began.elapsed() > OTHERS_TIMEOUT {
            let waited_s = OTHERS_TIMEOUT.as_secs();
            return Err(Error::OwnerNotReady {
                data_root: root.path,
                holder,
                waited_s,
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Leaves our process number in the lock, for the message that another process will show.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.flush()
}

pub(super) fn is_alive(pid: Pid) -> bool {
    match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        Err(refusal) => refusal == rustix::io::Errno::PERM,
    }
}

/// Reads a file that another process may be writing; what cannot be read is empty.
pub(super) fn read_or_empty(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)], account: &Account) -> Result<PathBuf, Error> {
        usual_place(
            |name| {
                variables
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, value)| value.into())
            },
            account,
        )
    }

    #[test]
    fn the_data_goes_where_the_user_expects_it() {
        let root = Account::Lent {
            name: "postgres",
            uid: 1,
            gid: 1,
        };
        let named = [("PROJECTIONIST_DATA_DIR", "/named"), ("HOME", "/home/ann")];
        assert_eq!(place(&named, &root).expect("named"), Path::new("/named"));
        assert_eq!(
            place(&[("HOME", "/root")], &root).expect("root"),
            Path::new("/var/lib/projectionist")
        );
        let xdg = [("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/ann")];
        assert_eq!(
            place(&xdg, &Account::Own).expect("xdg"),
            Path::new("/xdg/projectionist")
        );
        let home = place(&[("HOME", "/home/ann")], &Account::Own).expect("home");
        assert!(
            home.starts_with("/home/ann") && home.ends_with("projectionist"),
            "{home:?}"
        );
        assert!(matches!(place(&[], &Account::Own), Err(Error::NoHome)));
    }

    #[test]
    fn a_long_path_gets_a_socket_elsewhere() {
        assert!(fits_a_socket(Path::new(&"/x".repeat(44))));
        assert!(!fits_a_socket(Path::new(&"/x".repeat(45))));
        let stand_in = Path::new("/tmp").join(stand_in_name(Path::new("/some/long/path")));
        assert!(fits_a_socket(&stand_in));
        assert_ne!(
            stand_in_name(Path::new("/a")),
            stand_in_name(Path::new("/b"))
        );
    }
}
