//! Install: a file is checked, and then is in a directory of modules as a whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Error;
use super::check::{CheckReport, check};
use crate::guest::{Compiler, Runtime};

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    pub check: CheckReport,
    /// Where it is now; `None`: the file was refused, and nothing was done.
    pub installed_as: Option<PathBuf>,
    /// The settings that went with it.
    pub settings: Option<PathBuf>,
}

/// Checks a module as a host would, and puts it into a directory, with the settings beside it. A host never sees half of it.
pub async fn install(
    runtime: &Runtime,
    compiler: &Compiler,
    file: &Path,
    directory: &Path,
    name: &str,
) -> Result<Installed, Error> {
    let report = check(runtime, compiler, file).await?;
    if !report.accepted {
        return Ok(Installed {
            check: report,
            installed_as: None,
            settings: None,
        });
    }
    let unreadable = |path: &Path| {
        let file = path.display().to_string();
        move |source| Error::Unreadable { file, source }
    };
    let bytes = fs::read(file).map_err(unreadable(file))?;
    if report.digest != Some(hex::encode(Sha256::digest(&bytes))) {
        let changed = io::Error::other("it changed while it was checked");
        return Err(unreadable(file)(changed));
    }
    let to = directory.join(name).with_extension("wasm");
    // The settings first: a host looks at both together, and a module without them would be judged without.
    let beside = file.with_extension("toml");
    let settings = match fs::read(&beside) {
        Ok(text) => {
            let to = to.with_extension("toml");
            put(&to, &text).map_err(unreadable(&to))?;
            Some(to)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&beside)(error)),
    };
    put(&to, &bytes).map_err(unreadable(&to))?;
    Ok(Installed {
        check: report,
        installed_as: Some(to),
        settings,
    })
}

/// Writes beside the place and renames. A name that begins with a dot is none that a host looks at.
fn put(to: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = to.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&unfinished, to));
    if renamed.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    renamed
}
