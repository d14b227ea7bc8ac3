//! The example guests and the guests that misbehave, built once per test process.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{repository, target_dir};

const TARGET: &str = "wasm32-wasip2";

/// Variables that speak of the host's build and would spoil this one.
const NOT_FOR_GUESTS: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "LD_LIBRARY_PATH",
];

/// The component built from `guests/examples/NAME` or `tests/guests/examples/NAME.rs`.
pub fn path(name: &str) -> PathBuf {
    let built = build();
    let places = [
        built.join(format!("{name}.wasm")),
        built.join(format!("examples/{name}.wasm")),
    ];
    let found = places.iter().find(|path| path.is_file());
    found
        .unwrap_or_else(|| panic!("no guest is named {name}; looked for {places:?}"))
        .clone()
}

/// Builds all guests, and says where they are.
pub fn build() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        check_target();
        let target_dir = target_dir().join("guests");
        let output = cargo()
            .args([
                "build",
                "--release",
                "--locked",
                "--workspace",
                "--lib",
                "--examples",
                "--target",
                TARGET,
            ])
            .arg("--target-dir")
            .arg(&target_dir)
            .output()
            .expect("cargo can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the guests do not build (cd guests && cargo build --target {TARGET}):\n{said}"
        );
        target_dir.join(TARGET).join("release")
    })
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository().join("guests"));
    for name in NOT_FOR_GUESTS {
        cargo.env_remove(name);
    }
    cargo
}

/// Says plainly when the compiler cannot make components; its own message names a crate that nobody wrote.
fn check_target() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let output = output.expect("rustc can be started");
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(
        output.status.success() && directory.is_dir(),
        "the target {TARGET} is missing, so no guest can be built; run: rustup target add {TARGET}"
    );
}

#[test]
fn guests_are_found_by_name() {
    assert!(path("applications").is_file());
    assert!(path("traps_in_handle").is_file());
}

/// For snapshots: where a guest was built, and how large it is, differs from one machine to the next.
pub fn filters() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"panicked at \S*tests/", "panicked at tests/"),
        (
            r"range \d+\.\.\d+ is out of bounds \(bound = \d+\)",
            "range A..B is out of bounds (bound = N)",
        ),
    ]
}
