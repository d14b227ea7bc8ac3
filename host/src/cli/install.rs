//! `projectionist install`.

use std::path::PathBuf;

use super::criteria::explain;
use super::guests::{CompilerArguments, runtime};
use super::output::{self, Exit, OutputArguments, Refusal};
use crate::admin;

/// Check a module and put it into the directory that a host watches.
///
/// The file is checked as a host does it (see check). Only when it is good, it is there under its name, as a whole, from one moment
/// to the next, with the settings beside it (NAME.toml) if it has any. A running host takes it up by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: a host would refuse the file; nothing was changed.

Examples:
  projectionist install target/wasm32-wasip2/release/accounts.wasm
  projectionist install accounts.wasm --as accounts_2 --modules /srv/modules")]
pub struct Arguments {
    /// The module, such as accounts.wasm.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The directory of modules.
    #[arg(
        long,
        env = "PROJECTIONIST_MODULES",
        value_name = "DIR",
        default_value = "./modules"
    )]
    modules: PathBuf,
    /// The name that it has there, without .wasm. Default: that of the file.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let usage = |what: String, hint: &str| Refusal {
        what,
        because: Vec::new(),
        hint: Some(hint.to_owned()),
        exit: Exit::Usage,
    };
    if !arguments.modules.is_dir() {
        let what = format!("there is no directory {}", arguments.modules.display());
        return Err(usage(what, "make it, or name another with --modules").into());
    }
    let stem = arguments
        .file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let name = arguments.name.clone().or(stem).unwrap_or_default();
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        let what = format!("{name:?} is no name for a module");
        return Err(usage(what, "give a plain name with --as, such as accounts").into());
    }
    let own = arguments.compiler.alone()?;
    let (runtime, file, modules) = (runtime()?, &arguments.file, &arguments.modules);
    let done = admin::install(&runtime, &own.compiler, file, modules, &name).await;
    let done = done.map_err(explain)?;
    if arguments.output.json {
        output::print(serde_json::to_string(&done)?)?;
    }
    match (&done.installed_as, &done.check.refusal) {
        (Some(to), _) if !arguments.output.json => {
            let id = done
                .check
                .guest
                .as_ref()
                .map(|guest| guest.descriptor.id.to_string());
            let settings = done.settings.as_ref().map_or_else(String::new, |settings| {
                format!(", with its settings in {}", settings.display())
            });
            output::print(format!(
                "{} is in {}{settings}",
                id.unwrap_or_default(),
                to.display()
            ))?;
            Ok(())
        }
        (None, Some(refusal)) => Err(Refusal {
            what: format!(
                "{} is not installed: a host would refuse it",
                done.check.file
            ),
            because: vec![refusal.reason.clone()],
            hint: None,
            exit: Exit::Failed,
        }
        .into()),
        _ => Ok(()),
    }
}
