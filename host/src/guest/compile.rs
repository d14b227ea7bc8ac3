//! From bytes to native code: in a child process with limits, through a cache addressed by content.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Cache;
use super::check::Refusal;
use super::limits::{
    COMPILE_CACHE_MIB, COMPILE_MEMORY_MIB, COMPILE_SECONDS, MAX_COMPILERS, MAX_NATIVE_BYTES, mib,
};
use super::native;
use super::text::{self, MAX_MESSAGE_BYTES};
use crate::store::Digest;

/// The hidden verb by which the binary compiles one module: bytes on standard input, native code on standard output.
pub const COMPILE_VERB: &str = "compile-module";

/// What the child says when the module is at fault, not the machine.
const EXIT_BROKEN: i32 = 3;

/// What the compiling process is lowered by: guests that run go first.
const NICENESS: i32 = 10;

/// Compiles modules, and remembers what it compiled.
#[derive(Clone, Debug)]
pub struct Compiler {
    place: Place,
    cache: Cache,
    limits: CompileLimits,
    /// A host must not spend all of its machine on compiling.
    turns: Arc<Semaphore>,
}

/// Where modules are compiled.
#[derive(Clone, Debug)]
enum Place {
    /// In a process of its own, of this program.
    Child(PathBuf),
    Here,
}

/// What compiling one module may take.
#[derive(Clone, Copy, Debug)]
pub struct CompileLimits {
    pub seconds: u64,
    pub memory_mib: u64,
    /// What may come of it.
    pub native_bytes: u64,
}

impl CompileLimits {
    /// As [`Compiler`] hands them to its child, which is bound by the first two; what cannot be read has its default.
    pub fn from_words(words: impl Iterator<Item = String>) -> CompileLimits {
        let defaults = CompileLimits::default();
        let mut numbers = words.map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        CompileLimits {
            seconds: next().unwrap_or(defaults.seconds),
            memory_mib: next().unwrap_or(defaults.memory_mib),
            ..defaults
        }
    }
}

impl Default for CompileLimits {
    fn default() -> CompileLimits {
        CompileLimits {
            seconds: COMPILE_SECONDS,
            memory_mib: COMPILE_MEMORY_MIB,
            native_bytes: MAX_NATIVE_BYTES,
        }
    }
}

impl Compiler {
    /// `program` is the projectionist binary; `cache` a directory for native code, made with mode 0700 when it is not there.
    pub fn new(program: PathBuf, cache: PathBuf) -> Compiler {
        Compiler {
            place: Place::Child(program),
            cache: Cache::new(cache, mib(COMPILE_CACHE_MIB)),
            limits: CompileLimits::default(),
            turns: Arc::new(Semaphore::new(MAX_COMPILERS)),
        }
    }

    /// Compiles in this very process, without limits and without a memory: for modules that are trusted, and for tests that
    /// compile thousands.
    pub fn in_process() -> Compiler {
        Compiler {
            place: Place::Here,
            ..Compiler::new(PathBuf::new(), PathBuf::new())
        }
    }

    /// The same with other limits for each module.
    pub fn limited(self, limits: CompileLimits) -> Compiler {
        Compiler { limits, ..self }
    }

    /// The native form of `bytes`, from the cache or freshly compiled.
    pub(super) async fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<Component, Error> {
        let program = match &self.place {
            Place::Here => return compile_here(engine, bytes),
            Place::Child(program) => program,
        };
        let name = file_name(engine, digest);
        if let Some(path) = self.cache.find(&name) {
            match native::load(engine, &path) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(path = %path.display(), "a cached module cannot be used and is compiled again: {error:#}")
                }
            }
        }
        self.cache.prepare()?;
        let native_code = self.run_child(program, bytes).await?;
        let path = self.cache.keep(&name, &native_code)?;
        native::load(engine, &path).map_err(|error| Error::Refused(broken(format!("{error:#}"))))
    }

    async fn run_child(&self, program: &Path, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let _turn = self.turns.acquire().await;
        let mut child = tokio::process::Command::new(program)
            .arg(COMPILE_VERB)
            .args([self.limits.seconds, self.limits.memory_mib].map(|limit| limit.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::NoCompiler {
                program: program.to_owned(),
                source,
            })?;
        let limit = Duration::from_secs(self.limits.seconds);
        let ended = match tokio::time::timeout(
            limit,
            converse(&mut child, bytes, self.limits.native_bytes),
        )
        .await
        {
            Ok(ended) => ended?,
            // Dropping the child kills it.
            Err(_) => {
                return Err(Error::Refused(Refusal::CompileTimeout {
                    seconds: self.limits.seconds,
                }));
            }
        };
        let Ended {
            status,
            native_code,
            said,
        } = ended;
        if native_code.len() as u64 > self.limits.native_bytes {
            return Err(Error::Refused(Refusal::NativeTooLarge {
                limit: self.limits.native_bytes,
            }));
        }
        match status.code() {
            Some(0) => Ok(native_code),
            Some(EXIT_BROKEN) => Err(Error::Refused(broken(said))),
            _ if said.is_empty() => Err(self.died(status.to_string())),
            _ => Err(self.died(format!("{status}: {said}"))),
        }
    }

    fn died(&self, reason: String) -> Error {
        Error::Refused(Refusal::CompilerDied {
            reason,
            memory_mib: self.limits.memory_mib,
        })
    }
}

fn compile_here(engine: &Engine, bytes: &[u8]) -> Result<Component, Error> {
    let compiled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Component::new(engine, bytes)
    }));
    match compiled {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(Error::Refused(broken(format!("{error:#}")))),
        Err(_) => Err(Error::Refused(broken("the compiler panicked".to_owned()))),
    }
}

/// How the child ended.
struct Ended {
    status: ExitStatus,
    native_code: Vec<u8>,
    said: String,
}

/// Writes the module, and reads what comes, at the same time. No more is read than may come: a child that has more to say
/// is ended.
async fn converse(child: &mut Child, bytes: &[u8], native_bytes_max: u64) -> io::Result<Ended> {
    let mut stdin = child.stdin.take().expect("the child's input is piped");
    let stdout = child.stdout.take().expect("the child's output is piped");
    let stderr = child.stderr.take().expect("the child's errors are piped");
    let write = async move {
        // A child that died does not read; its exit code says more than a broken pipe.
        let _ = stdin.write_all(bytes).await;
        drop(stdin);
        Ok(())
    };
    let (native_code, said, ()) = tokio::try_join!(
        read_up_to(stdout, native_bytes_max.saturating_add(1)),
        read_up_to(stderr, MAX_MESSAGE_BYTES as u64),
        write
    )?;
    let status = child.wait().await?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(Ended {
        status,
        native_code,
        said: text::block(&said, MAX_MESSAGE_BYTES),
    })
}

async fn read_up_to(from: impl AsyncRead + Unpin, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn broken(reason: String) -> Refusal {
    Refusal::Broken {
        reason: text::block(&reason, MAX_MESSAGE_BYTES),
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
fn file_name(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", hex::encode(digest), hasher.finish())
}

/// The child's side: limits itself, compiles standard input, writes native code to standard output. Returns the exit code.
pub fn compile_stdin(engine: &Engine, limits: CompileLimits) -> i32 {
    match limit_this_process(limits).and_then(|()| compile_all(engine)) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("{reason}");
            EXIT_BROKEN
        }
    }
}

fn limit_this_process(limits: CompileLimits) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(Resource::As, limit(mib(limits.memory_mib)))
        .map_err(|error| format!("no memory limit could be set: {error}"))?;
    // On each processor that there may be; the parent looks at the clock.
    setrlimit(Resource::Cpu, limit(limits.seconds.saturating_mul(4)))
        .map_err(|error| format!("no time limit could be set: {error}"))?;
    // What is compiled is not urgent; what runs is.
    setpriority_process(None, NICENESS)
        .map_err(|error| format!("the priority could not be lowered: {error}"))
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
