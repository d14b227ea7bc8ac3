//! From bytes to native code: in a child process with limits, through a cache addressed by content.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::check::Refusal;
use super::limits::{COMPILE_MEMORY_BYTES, COMPILE_TIMEOUT};
use super::native;
use crate::store::Digest;

/// The hidden verb by which the binary compiles one module: bytes on standard input, native code on standard output.
pub const COMPILE_VERB: &str = "compile-module";

/// What the child says when the module is at fault, not the machine.
const EXIT_BROKEN: i32 = 3;

/// Compiles modules, and remembers what it compiled.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: PathBuf,
    cache: PathBuf,
}

impl Compiler {
    /// `program` is the projectionist binary; `cache` a directory for native code, made with mode 0700 when it is not there.
    pub fn new(program: PathBuf, cache: PathBuf) -> Compiler {
        Compiler { program, cache }
    }

    /// The native form of `bytes`, from the cache or freshly compiled.
    pub(super) async fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<Component, Error> {
        let path = self.cache.join(file_name(engine, digest));
        if path.exists() {
            match native::load(engine, &path) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(path = %path.display(), "a cached module cannot be used and is compiled again: {error:#}")
                }
            }
        }
        self.prepare_cache()?;
        let native_code = self.run_child(bytes).await?;
        let temporary = tempfile::NamedTempFile::new_in(&self.cache)?;
        fs::write(temporary.path(), &native_code)?;
        temporary.persist(&path).map_err(|error| error.error)?;
        native::load(engine, &path).map_err(|error| {
            Error::Refused(Refusal::Broken {
                reason: format!("{error:#}"),
            })
        })
    }

    /// Only the cache is closed to others: the directories above it may be there for more, such as a private server
    /// that runs as another user.
    fn prepare_cache(&self) -> io::Result<()> {
        if let Some(parent) = self.cache.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.cache)
    }

    async fn run_child(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut child = tokio::process::Command::new(&self.program)
            .arg(COMPILE_VERB)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::NoCompiler {
                program: self.program.clone(),
                source,
            })?;
        let mut stdin = child.stdin.take().expect("the child's input is piped");
        let input = bytes.to_vec();
        let writing = tokio::spawn(async move {
            // A child that died does not read; its exit code says more than a broken pipe.
            let _ = stdin.write_all(&input).await;
        });
        let output = match tokio::time::timeout(COMPILE_TIMEOUT, child.wait_with_output()).await {
            Ok(output) => output?,
            Err(_) => {
                return Err(Error::Refused(Refusal::CompileTimeout {
                    seconds: COMPILE_TIMEOUT.as_secs(),
                }));
            }
        };
        writing.abort();
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let reason = match output.status.code() {
            Some(EXIT_BROKEN) => said,
            _ => format!(
                "the compiler ended with {} (its memory limit is {} MiB){}{said}",
                output.status,
                COMPILE_MEMORY_BYTES / (1024 * 1024),
                if said.is_empty() { "" } else { ": " }
            ),
        };
        Err(Error::Refused(Refusal::Broken { reason }))
    }
}

/// What stopped a compilation: the module, or the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the compiler {} cannot be started; it is the projectionist binary itself, check that it is still there", program.display())]
    NoCompiler { program: PathBuf, source: io::Error },
    #[error("the directory for compiled modules cannot be used; set another with --cache-dir")]
    Cache(#[from] io::Error),
}

/// Native code depends on the engine's settings as well as on the bytes.
fn file_name(engine: &Engine, digest: &Digest) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Path::new(&format!(
        "{}-{:016x}.cwasm",
        hex::encode(digest),
        hasher.finish()
    ))
    .to_owned()
}

/// The child's side: limits itself, compiles standard input, writes native code to standard output. Returns the exit code.
pub fn compile_stdin(engine: &Engine) -> i32 {
    match limited().and_then(|()| compile_all(engine)) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("{reason}");
            EXIT_BROKEN
        }
    }
}

fn limited() -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::As, limit(COMPILE_MEMORY_BYTES))
        .map_err(|error| format!("no memory limit could be set: {error}"))?;
    setrlimit(Resource::Cpu, limit(COMPILE_TIMEOUT.as_secs() * 4))
        .map_err(|error| format!("no time limit could be set: {error}"))
}

fn compile_all(engine: &Engine) -> Result<(), String> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    // The compiler may panic on bytes that no toolchain makes.
    let compiled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.precompile_component(&bytes)
    }));
    let native_code = compiled
        .map_err(|_| "the compiler panicked".to_owned())?
        .map_err(|error| format!("{error:#}"))?;
    io::Write::write_all(&mut io::stdout(), &native_code).map_err(|error| error.to_string())
}
