//! The files of the cluster: made once, checked at every start.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::account::Account;
use super::binaries::Binaries;
use super::root::DataRoot;
use super::{Error, Fsync, Options, SUPERUSER, files, pid_file};

/// Makes sure that a cluster is there, with binaries that fit it and a place for its socket. The data root is ours.
pub(super) fn prepare(root: &DataRoot, options: &Options) -> Result<(Binaries, PathBuf), Error> {
    let cluster = root.cluster();
    let version = version_of(&cluster)?;
    let binaries = Binaries::find(options.binaries.as_deref(), &cluster, version)?;
    if version.is_some() {
        give_to(&root.account, &cluster)?;
        pid_file::make_way(&cluster)?;
    } else {
        create(root, &binaries, options.fsync)?;
    }
    Ok((binaries, root.make_socket_dir()?))
}

/// The major version that made the cluster; `None` when there is none yet.
fn version_of(cluster: &Path) -> Result<Option<u32>, Error> {
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(text) => match text.trim().parse() {
            Ok(version) => Ok(Some(version)),
            Err(_) => Err(Error::UnusablePath {
                path: cluster.into(),
                reason: "its PG_VERSION is not a number",
            }),
        },
        Err(failure) if failure.kind() == ErrorKind::NotFound && !cluster.exists() => Ok(None),
        Err(failure) if failure.kind() == ErrorKind::NotFound => Err(Error::UnusablePath {
            path: cluster.into(),
            reason: "it is there, but holds no cluster",
        }),
        Err(source) => Err(Error::File {
            doing: "reading",
            path: cluster.join("PG_VERSION"),
            source,
        }),
    }
}

/// Makes the cluster under another name first: a killed `initdb` leaves nothing that looks finished.
fn create(root: &DataRoot, binaries: &Binaries, fsync: Fsync) -> Result<(), Error> {
    let (cluster, unfinished) = (root.cluster(), root.path.join("pg.unfinished"));
    match fs::remove_dir_all(&unfinished) {
        Err(failure) if failure.kind() != ErrorKind::NotFound => {
            return Err(Error::File {
                doing: "removing the left-over",
                path: unfinished,
                source: failure,
            });
        }
        _ => files::make_directory(&unfinished, 0o700)?,
    }
    root.account.own(&unfinished)?;
    tracing::info!(cluster = %cluster.display(), version = binaries.major, "creating a private PostgreSQL cluster, once");
    let initdb = binaries.initdb();
    let output = root
        .account
        .command(&initdb)
        .arg("-D")
        .arg(&unfinished)
        // Everybody who reaches the socket is let in, because its directory is closed to everybody else.
        .args([
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "--locale=C",
            "-E",
            "UTF8",
            "--no-instructions",
        ])
        .args(if fsync == Fsync::Off {
            &["--no-sync"][..]
        } else {
            &[]
        })
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn {
            program: initdb,
            source,
        })?;
    if !output.status.success() {
        let output_text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        fs::remove_dir_all(&unfinished).ok();
        return Err(Error::InitFailed {
            cluster,
            status: output.status.to_string(),
            output: output_text.trim_end().into(),
        });
    }
    fs::rename(&unfinished, &cluster).map_err(Error::file("renaming", unfinished))
}

/// A cluster that was copied, or made by another user's host, becomes the server's.
fn give_to(account: &Account, cluster: &Path) -> Result<(), Error> {
    let owner = fs::metadata(cluster)
        .map_err(Error::file("looking at", cluster))?
        .uid();
    match account {
        _ if owner == account.uid() => Ok(()),
        Account::Own => Err(Error::UnusablePath {
            path: cluster.into(),
            reason: "it belongs to another user",
        }),
        Account::Lent { uid, gid, .. } => {
            give_all(cluster, *uid, *gid).map_err(Error::file("changing the owner of", cluster))
        }
    }
}

/// Contents first, so that an interrupted change is seen and done again.
fn give_all(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path(), uid, gid)?;
        }
    }
    lchown(path, Some(uid), Some(gid))
}
