//! Whether a component is a guest at all, and whether it imports only what its kind may have. Nothing of it runs here.

use subscription::Kind;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::bindings::{BATCH, CHUNK_HANDLER, DESCRIPTION, HANDLER, LIFECYCLE, RECOVERY};
use super::settings::Settings;

/// Interfaces of ours that a guest of either kind may import.
const OURS: [&str; 10] = [
    "projectionist:guest/types@0.1.0",
    "projectionist:guest/context@0.1.0",
    "projectionist:events/types@0.1.0",
    "projectionist:events/reader@0.1.0",
    "projectionist:sql/types@0.1.0",
    "projectionist:sql/client@0.1.0",
    "projectionist:rows/tables@0.1.0",
    "projectionist:log/logger@0.1.0",
    "projectionist:config/store@0.1.0",
    APPEND,
];

const APPEND: &str = "projectionist:append/writer@0.1.0";

/// Packages of the inert WASI, at any 0.2 version.
const WASI: [&str; 5] = [
    "wasi:cli/",
    "wasi:io/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:random/",
];

/// What a processor may have of wasi:http, at any 0.2 version.
const HTTP: [&str; 2] = ["wasi:http/types", SENDS_REQUESTS];

const SENDS_REQUESTS: &str = "wasi:http/outgoing-handler";

/// Names that a message lists; a component may have thousands.
const MAX_LISTED: usize = 10;

/// Why a file is not taken up. The text is for the person who put it there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error(
        "not a WebAssembly file: it does not begin with the magic bytes; copy the component that `cargo build --target wasm32-wasip2 --release` made"
    )]
    NotWasm,
    #[error(
        "a core WebAssembly module, not a component; build it with `--target wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error(
        "the file has {bytes} bytes, more than the limit of {limit} bytes for a module (module-bytes, which is fixed); build with `strip = \"debuginfo\"` and `opt-level = \"s\"`"
    )]
    TooLarge { bytes: u64, limit: u64 },
    #[error("cannot be compiled: {reason}; the file may be half-written or damaged, copy it again")]
    Broken { reason: String },
    #[error(
        "compiling was ended after {seconds} s, the limit for one module (compile-seconds, which is fixed); split the module or make it smaller"
    )]
    CompileTimeout { seconds: u64 },
    #[error(
        "the compiler gave up on it: {reason}; it may use {memory_mib} MiB (compile-memory-mib, which is fixed): split the module or make it smaller"
    )]
    CompilerDied { reason: String, memory_mib: u64 },
    #[error(
        "its native code has more than {limit} bytes, the limit for one module (native-bytes, which is fixed); split the module or make it smaller"
    )]
    NativeTooLarge { limit: u64 },
    #[error(
        "not a guest of Projectionist: it exports {found}, and lacks {lacking}; build it against the worlds in `wit/` (or with projectionist-sdk)"
    )]
    WrongWorld { found: String, lacking: String },
    #[error(
        "built for {found}, which this host does not speak; it speaks {supported}: rebuild the guest with a matching SDK"
    )]
    OtherVersion { found: String, supported: String },
    #[error("a {kind} may not import {import}: {reason}")]
    Forbidden {
        kind: &'static str,
        import: String,
        reason: &'static str,
    },
    #[error(
        "imports {import}, which this host does not offer; it offers the interfaces in `wit/` and an inert WASI 0.2"
    )]
    UnknownImport { import: String },
    #[error("`describe` failed: {reason}")]
    DescribeFailed { reason: String },
    #[error("its descriptor is not usable: {reason}")]
    BadDescriptor { reason: String },
    #[error(
        "imports {import} to send HTTP requests, and nothing says where they may go: list the origins in the file beside the module ([http] allow = [\"https://mail.example.com\"]), or let it run without any ([http] allow = [])"
    )]
    NoOrigins { import: String },
    #[error("{reason}")]
    BadSettings { reason: String },
}

impl Refusal {
    /// The kind of refusal, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Refusal::NotWasm => "not-wasm",
            Refusal::CoreModule => "core-module",
            Refusal::TooLarge { .. } => "too-large",
            Refusal::Broken { .. } => "broken",
            Refusal::CompileTimeout { .. } => "compile-timeout",
            Refusal::CompilerDied { .. } => "compiler-died",
            Refusal::NativeTooLarge { .. } => "native-too-large",
            Refusal::WrongWorld { .. } => "wrong-world",
            Refusal::OtherVersion { .. } => "other-version",
            Refusal::Forbidden { .. } => "forbidden",
            Refusal::UnknownImport { .. } => "unknown-import",
            Refusal::DescribeFailed { .. } => "describe-failed",
            Refusal::BadDescriptor { .. } => "bad-descriptor",
            Refusal::NoOrigins { .. } => "no-origins",
            Refusal::BadSettings { .. } => "bad-settings",
        }
    }
}

/// Looks at the first bytes, before any compiler does.
pub fn check_header(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Refusal::CoreModule),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(Refusal::NotWasm),
    }
}

/// The exports must be those of a guest.
pub(super) fn check_exports(engine: &Engine, component: &Component) -> Result<(), Refusal> {
    let ty = component.component_type();
    let exports: Vec<String> = ty
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    for wanted in [DESCRIPTION, HANDLER] {
        if exports.iter().any(|name| name == wanted) {
            continue;
        }
        if let Some(other) = exports.iter().find(|name| package(name) == package(wanted)) {
            return Err(Refusal::OtherVersion {
                found: other.clone(),
                supported: wanted.to_owned(),
            });
        }
        return Err(Refusal::WrongWorld {
            found: listed(&exports),
            lacking: wanted.to_owned(),
        });
    }
    for optional in [LIFECYCLE, RECOVERY, BATCH, CHUNK_HANDLER] {
        if let Some(other) = exports
            .iter()
            .find(|name| package(name) == package(optional) && *name != optional)
        {
            return Err(Refusal::OtherVersion {
                found: other.clone(),
                supported: optional.to_owned(),
            });
        }
    }
    Ok(())
}

/// The imports must be among those that the kind may have; a refusal names the first that is not. Without a kind, which
/// only `describe` tells: among those that some kind may have.
pub(super) fn check_imports(
    engine: &Engine,
    component: &Component,
    kind: Option<Kind>,
) -> Result<(), Refusal> {
    let ty = component.component_type();
    for (import, _) in ty.imports(engine) {
        check_import(import, kind)?;
    }
    Ok(())
}

fn check_import(import: &str, kind: Option<Kind>) -> Result<(), Refusal> {
    let forbidden = |reason| {
        let kind = kind.map_or("guest", crate::store::kind_text);
        Err(Refusal::Forbidden {
            kind,
            import: import.to_owned(),
            reason,
        })
    };
    if import == APPEND && kind == Some(Kind::Projector) {
        return forbidden(
            "a projector only folds events into tables; what appends events is a processor",
        );
    }
    if import.starts_with("wasi:sockets/") {
        return forbidden("no guest names an address");
    }
    let wasi_0_2 = import
        .split_once('@')
        .is_none_or(|(_, version)| version.starts_with("0.2."));
    if import.starts_with("wasi:http/") {
        let is_outbound = wasi_0_2 && HTTP.contains(&package(import));
        return match kind {
            Some(Kind::Projector) => {
                forbidden("a projector must give the same read model at every rebuild")
            }
            Some(Kind::Processor) | None if is_outbound => Ok(()),
            Some(Kind::Processor) | None => forbidden(
                "of wasi:http, a processor has `types` and `outgoing-handler` in a version 0.2: it sends requests and answers none",
            ),
        };
    }
    if OURS.contains(&import)
        || (wasi_0_2 && WASI.iter().any(|package| import.starts_with(package)))
    {
        return Ok(());
    }
    if let Some(ours) = OURS.iter().find(|ours| package(ours) == package(import)) {
        return Err(Refusal::OtherVersion {
            found: import.to_owned(),
            supported: (*ours).to_owned(),
        });
    }
    Err(Refusal::UnknownImport {
        import: import.to_owned(),
    })
}

/// Whether the import is the one by which requests leave.
pub(super) fn sends_requests(import: &str) -> bool {
    package(import) == SENDS_REQUESTS
}

/// A module that sends requests needs settings that say where to, before its first event: at its first request would be too
/// late, since what the batch did until then is done again. And a projector has no use for them.
pub(super) fn check_http(
    kind: Kind,
    import: Option<String>,
    settings: &Settings,
) -> Result<(), Refusal> {
    match (kind, import, &settings.http) {
        (Kind::Projector, _, Some(_)) => Err(Refusal::BadSettings {
            reason: "the file beside the module has [http], which is for processors alone: a projector must give the same read model at every rebuild; take it out".to_owned(),
        }),
        (Kind::Processor, Some(import), None) => Err(Refusal::NoOrigins { import }),
        _ => Ok(()),
    }
}

fn package(name: &str) -> &str {
    name.split_once('@').map_or(name, |(package, _)| package)
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names if names.len() <= MAX_LISTED => names.join(", "),
        names => format!(
            "{} and {} more",
            names[..MAX_LISTED].join(", "),
            names.len() - MAX_LISTED
        ),
    }
}
