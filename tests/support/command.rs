//! The binary as a person calls it.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::TestDatabase;
use super::process::compiled_modules;

/// Runs the binary with these words, and says what it printed and how it ended.
pub async fn projectionist(url: Option<&str>, words: &[&str]) -> Output {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let url = url.map(str::to_owned);
    let running = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_projectionist"));
        command.args(&words).stdin(Stdio::null());
        command.env_remove("DATABASE_URL");
        if let Some(url) = url {
            command.env("DATABASE_URL", url);
        }
        command.output().expect("it can be started")
    });
    running.await.expect("it has ended")
}

/// What a person sees, with the exit code.
pub fn seen(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}exit {}",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

/// The verb with its output.
pub async fn shown(database: &TestDatabase, words: &[&str]) -> String {
    let output = projectionist(Some(database.url()), words).await;
    format!("$ projectionist {}\n{}\n", words.join(" "), seen(&output))
}

/// A verb that runs guests, as a person types and sees it: `DIR` stands for the directory of modules.
pub async fn typed(database: &TestDatabase, modules: &TempDir, words: &[&str]) -> String {
    let (modules, cache) = (modules.path().display(), compiled_modules());
    let (modules, cache) = (modules.to_string(), cache.display().to_string());
    let real: Vec<&str> = words
        .iter()
        .map(|word| {
            if *word == "DIR" {
                modules.as_str()
            } else {
                word
            }
        })
        .chain(["--cache-dir", &cache])
        .collect();
    let output = projectionist(Some(database.url()), &real).await;
    format!("$ projectionist {}\n{}\n", words.join(" "), seen(&output))
}
