//! Looking at a module without a database: what a host would say of the file.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subscription::{Descriptor, KNOWN_OPTIONS};

use super::Error;
use crate::guest::text::{self, MAX_MESSAGE_BYTES};
use crate::guest::{
    CompileError, Compiler, MAX_SETTINGS_BYTES, Module, Refusal, Runtime, Settings, check_size,
};

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// As it was named.
    pub file: String,
    pub size_bytes: u64,
    /// SHA-256 of the file, in hexadecimal. `None`: it is too large to be read.
    pub digest: Option<String>,
    pub accepted: bool,
    pub refusal: Option<RefusalReport>,
    pub guest: Option<GuestReport>,
}

/// Why a host would not take the file up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalReport {
    pub kind: &'static str,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// What a host would run.
#[derive(Clone, Debug, Serialize)]
pub struct GuestReport {
    pub descriptor: Descriptor,
    pub line: String,
    pub version: u64,
    /// Events in one call at most.
    pub chunk_events: u32,
    /// Options that this host does not know. They have no effect.
    pub unknown_options: Vec<String>,
    /// Time until the native code was there, from the cache or the compiler.
    pub compile_ms: u64,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// It asks for a way to send HTTP requests.
    pub sends_requests: bool,
    /// The file beside the module, when there is one.
    pub settings_file: Option<String>,
    pub settings: Settings,
}

/// Judges a file as a host does before it asks the database.
pub async fn check(
    runtime: &Runtime,
    compiler: &Compiler,
    path: &Path,
) -> Result<CheckReport, Error> {
    let file = path.display().to_string();
    let unreadable = |source| Error::Unreadable {
        file: file.clone(),
        source,
    };
    let size_bytes = fs::metadata(path).map_err(unreadable)?.len();
    let mut report = CheckReport {
        file: file.clone(),
        size_bytes,
        digest: None,
        accepted: false,
        refusal: None,
        guest: None,
    };
    if let Err(refusal) = check_size(size_bytes) {
        report.refusal = Some(RefusalReport::from(&refusal));
        return Ok(report);
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    report.digest = Some(hex::encode(Sha256::digest(&bytes)));
    match judge(runtime, compiler, path, &bytes).await {
        Ok(guest) => {
            report.accepted = true;
            report.guest = Some(guest);
        }
        Err(Judged::Refused(refusal)) => report.refusal = Some(RefusalReport::from(&refusal)),
        Err(Judged::Failed(error)) => return Err(error),
    }
    Ok(report)
}

/// The file is at fault, or this machine.
enum Judged {
    Refused(Refusal),
    Failed(Error),
}

async fn judge(
    runtime: &Runtime,
    compiler: &Compiler,
    path: &Path,
    bytes: &[u8],
) -> Result<GuestReport, Judged> {
    let (settings_file, settings) = read_settings(path)?;
    let module = Module::load(runtime, compiler, bytes).await?;
    let checked = module.check_settings(&settings);
    checked.map_err(Judged::Refused)?;
    let descriptor = module.descriptor().clone();
    let unknown = descriptor.options.iter().map(|(key, _)| key);
    let unknown = unknown.filter(|key| !KNOWN_OPTIONS.contains(&key.as_str()));
    Ok(GuestReport {
        line: descriptor.id.line().to_owned(),
        version: descriptor.id.version(),
        chunk_events: descriptor.chunk_events(),
        unknown_options: unknown.cloned().collect(),
        compile_ms: u64::try_from(module.compile_time().as_millis()).unwrap_or(u64::MAX),
        imports: module.imports(),
        exports: module.exports(),
        sends_requests: module.outbound_import().is_some(),
        settings_file,
        settings,
        descriptor,
    })
}

/// The settings beside the module; without the file, the defaults.
fn read_settings(path: &Path) -> Result<(Option<String>, Settings), Judged> {
    let beside = path.with_extension("toml");
    let file = beside.display().to_string();
    let size = match fs::metadata(&beside) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, Settings::default()));
        }
        Err(source) => return Err(Judged::Failed(Error::Unreadable { file, source })),
    };
    if size > MAX_SETTINGS_BYTES {
        return Err(Judged::Refused(Refusal::BadSettings {
            reason: format!(
                "{file} beside the module has {size} bytes, more than the limit of {MAX_SETTINGS_BYTES} bytes (settings-bytes, which is fixed); keep large data in the module or in a table"
            ),
        }));
    }
    let text = fs::read_to_string(&beside).map_err(|source| {
        Judged::Failed(Error::Unreadable {
            file: file.clone(),
            source,
        })
    })?;
    let settings = Settings::parse(&file, &text).map_err(Judged::Refused)?;
    Ok((Some(file), settings))
}

impl From<&Refusal> for RefusalReport {
    fn from(refusal: &Refusal) -> RefusalReport {
        RefusalReport {
            kind: refusal.name(),
            reason: text::block(&refusal.to_string(), MAX_MESSAGE_BYTES),
        }
    }
}

impl From<CompileError> for Judged {
    fn from(error: CompileError) -> Judged {
        match error {
            CompileError::Refused(refusal) => Judged::Refused(refusal),
            source => Judged::Failed(Error::NotCompiled { source }),
        }
    }
}
