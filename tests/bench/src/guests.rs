//! The guests of the benchmark, built as a guest is built by anybody.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

const TARGET: &str = "wasm32-wasip2";

const GUESTS: [&str; 8] = [
    "accounts",
    "accounts_by_many",
    "accounts_by_statement",
    "counts",
    "records",
    "records_changed",
    "tallies",
    "waits",
];

/// Variables that speak of this build and would spoil that of the guests.
const NOT_FOR_GUESTS: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "LD_LIBRARY_PATH",
];

/// Builds the guests, and says where they are.
pub fn build() -> anyhow::Result<PathBuf> {
    let target_dir = target_dir().join("guests");
    let mut cargo = cargo();
    cargo
        .current_dir(repository().join("guests"))
        .args(["build", "--release", "--locked", "--package", "test-guests"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .args(GUESTS.iter().flat_map(|guest| ["--example", guest]));
    let status = cargo.status().context("starting cargo for the guests")?;
    anyhow::ensure!(
        status.success(),
        "the guests do not build; if the target is missing: rustup target add {TARGET}"
    );
    Ok(target_dir.join(TARGET).join("release/examples"))
}

/// Cargo, for another build than this one.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in NOT_FOR_GUESTS {
        cargo.env_remove(name);
    }
    cargo
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where Cargo put this program: two levels up.
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .nth(2)
        .map_or_else(|| repository().join("target"), Path::to_owned)
}
