//! Finds an installation of PostgreSQL: `initdb` and `postgres` side by side.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;

/// The oldest major version that is served.
const OLDEST: u32 = 14;

/// Where packages put their binaries, `*` standing for the version: Debian, Red Hat, Homebrew (two), Postgres.app.
const USUAL_PLACES: [&str; 5] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// The directory of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The installation to use: the one in `named` and no other, else the first that fits. A cluster that exists already,
    /// made by version `wanted`, can only be served by that version.
    pub(super) fn find(
        named: Option<&Path>,
        cluster: &Path,
        wanted: Option<u32>,
    ) -> Result<Binaries, Error> {
        let named = named
            .map(Path::to_path_buf)
            .or_else(|| env::var_os("PROJECTIONIST_PG_BIN").map(PathBuf::from));
        let found = match named {
            Some(dir) => {
                vec![Binaries::in_directory(&dir).ok_or(Error::NotInNamedDirectory { dir })?]
            }
            None => everywhere(),
        };
        let searched = || format!("PATH, pg_config --bindir, {}", USUAL_PLACES.join(", "));
        choose(&found, cluster, wanted).unwrap_or_else(|| {
            Err(Error::NotFound {
                searched: searched(),
            })
        })
    }

    fn in_directory(dir: &Path) -> Option<Binaries> {
        let dir = fs::canonicalize(dir).ok()?;
        let both = dir.join("initdb").is_file() && dir.join("postgres").is_file();
        both.then(|| major_of(&dir.join("postgres")))
            .flatten()
            .map(|major| Binaries { dir, major })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// The first of `found` that can serve the cluster; `None` when nothing was found at all.
fn choose(
    found: &[Binaries],
    cluster: &Path,
    wanted: Option<u32>,
) -> Option<Result<Binaries, Error>> {
    let fits = |b: &&Binaries| wanted.map_or(b.major >= OLDEST, |wanted| b.major == wanted);
    if let Some(binaries) = found.iter().find(fits) {
        return Some(Ok(binaries.clone()));
    }
    let newest = found.iter().max_by_key(|b| b.major)?;
    Some(Err(match wanted {
        Some(wanted) => {
            let found = found
                .iter()
                .map(|b| format!("{} in {}", b.major, b.dir.display()))
                .collect::<Vec<_>>()
                .join(", ");
            Error::OtherVersion {
                cluster: cluster.into(),
                wanted,
                found,
            }
        }
        None => Error::TooOld {
            dir: newest.dir.clone(),
            found: newest.major,
            oldest: OLDEST,
        },
    }))
}

/// Every installation on this machine, the preferred one first.
fn everywhere() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    let on_path = on_path("postgres")
        .and_then(|path| fs::canonicalize(path).ok()?.parent().map(Path::to_path_buf));
    for dir in on_path.into_iter().chain(pg_config()).chain(usual_places()) {
        if let Some(binaries) = Binaries::in_directory(&dir)
            && !found.contains(&binaries)
        {
            found.push(binaries);
        }
    }
    found
}

/// Where the shell would find `program`.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}

/// The directories that packages install into, the newest version first within each pattern.
fn usual_places() -> Vec<PathBuf> {
    USUAL_PLACES
        .iter()
        .flat_map(|pattern| matches_of(pattern))
        .collect()
}

/// The directories that `pattern` matches. Its one `*` stands within one segment, for a version.
fn matches_of(pattern: &str) -> Vec<PathBuf> {
    let (before, after) = pattern
        .split_once('*')
        .expect("every usual place has one star");
    let (parent, prefix) = before
        .rsplit_once('/')
        .expect("every usual place is absolute");
    let version_of = |name: &str| {
        name.strip_prefix(prefix)?
            .split('.')
            .next()?
            .parse::<u32>()
            .ok()
    };
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                version_of(entry.file_name().to_str()?)?,
                entry.path().join(after.trim_start_matches('/')),
            ))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// The major version that `postgres --version` tells: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32) -> Binaries {
        Binaries {
            dir: format!("/pg/{major}").into(),
            major,
        }
    }

    #[test]
    fn reads_the_major_version() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("something else"), None);
    }

    #[test]
    fn a_cluster_decides_the_version() {
        let found = [installation(17), installation(15)];
        let choose = |wanted| choose(&found, Path::new("/c"), wanted).expect("there are some");
        assert_eq!(choose(None).expect("fits").major, 17);
        assert_eq!(choose(Some(15)).expect("fits").major, 15);
        let refusal = choose(Some(16)).expect_err("nothing fits").to_string();
        assert!(
            refusal.contains("PostgreSQL 16") && refusal.contains("17 in /pg/17, 15 in /pg/15"),
            "{refusal}"
        );
    }

    #[test]
    fn too_old_is_told_apart_from_absent() {
        let refusal = choose(&[installation(12)], Path::new("/c"), None)
            .expect("found")
            .expect_err("too old");
        assert!(
            refusal
                .to_string()
                .contains("PostgreSQL 12 in /pg/12 is too old"),
            "{refusal}"
        );
        assert!(choose(&[], Path::new("/c"), None).is_none());
    }

    #[test]
    fn the_newest_version_comes_first() {
        let place = tempfile::tempdir().expect("a directory");
        for version in ["9.6", "15", "17"] {
            fs::create_dir_all(place.path().join(format!("pgsql-{version}"))).expect("a directory");
        }
        let found = matches_of(&format!("{}/pgsql-*/bin", place.path().display()));
        let expected: Vec<PathBuf> = ["17", "15", "9.6"]
            .iter()
            .map(|v| place.path().join(format!("pgsql-{v}/bin")))
            .collect();
        assert_eq!(found, expected);
    }
}
