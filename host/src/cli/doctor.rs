//! `projectionist doctor`.

use std::fs;
use std::path::{Path, PathBuf};

use super::database::{self, DatabaseArguments};
use super::guests::{CompilerArguments, runtime};
use super::output::{self, Exit, OutputArguments, Refusal};
use crate::admin::doctor::{Finding, Grade, examine_database, examine_guests};
use crate::engine::sees_changes;

/// Examine the installation, and say how to mend what is wrong.
///
/// Looks at the server, its clock and its connections, the event log and the order in which it can be read, the rights of roles,
/// the directory of modules, and whether this machine really stops a guest that loops. Nothing is changed but the private
/// server's schema, which is always kept up to date.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: something is bad. What could only be better is no error.

Examples:
  projectionist doctor
  projectionist doctor --json | jq -r 'select(.grade != \"good\") | .mend'")]
pub struct Arguments {
    /// The directory of modules.
    #[arg(
        long,
        env = "PROJECTIONIST_MODULES",
        value_name = "DIR",
        default_value = "./modules"
    )]
    modules: PathBuf,
    #[command(flatten)]
    compiler: CompilerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let own = arguments.compiler.alone()?;
    let mut findings = examine_guests(&runtime()?, &own.compiler).await;
    findings.push(directory(&arguments.modules).await);
    match database::open(database).await {
        Ok(opened) => {
            findings.extend(examine_database(&opened.store).await);
            opened.close().await?;
        }
        Err(error) => findings.push(Finding::bad(
            "server",
            format!("{error:#}"),
            "check that it runs, and --database-url",
        )),
    }
    for finding in &findings {
        output::print(if arguments.output.json {
            serde_json::to_string(finding)?
        } else {
            line(finding)
        })?;
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.grade == Grade::Bad);
    let bad: Vec<&str> = bad.map(|finding| finding.what).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        what: format!("the installation is not sound: {}", bad.join(", ")),
        because: Vec::new(),
        hint: Some("each line above that begins with `bad` says how to mend it".to_owned()),
        exit: Exit::Failed,
    }
    .into())
}

fn line(finding: &Finding) -> String {
    let grade = match finding.grade {
        Grade::Good => "good",
        Grade::Warning => "warn",
        Grade::Bad => "bad",
    };
    let mut text = format!("{grade:<4}  {:<11}  {}", finding.what, finding.found);
    if let Some(mend) = &finding.mend {
        text.push_str(&format!("\n      {:<11}  to mend it: {mend}", ""));
    }
    text
}

/// Whether modules can be read there, and whether the machine tells when one comes.
async fn directory(modules: &Path) -> Finding {
    let place = modules.display();
    let count = match fs::read_dir(modules) {
        Ok(entries) => entries.flatten().filter(|entry| {
            let name = entry.file_name();
            Path::new(&name)
                .extension()
                .is_some_and(|end| end == "wasm")
        }),
        Err(error) => {
            return Finding::warning(
                "modules",
                format!("{place} cannot be read: {error}"),
                format!(
                    "make it and put modules there (mkdir -p {place}), or name another with --modules"
                ),
            );
        }
    };
    let count = count.count();
    if sees_changes(modules).await {
        return Finding::good(
            "modules",
            format!("{count} in {place}, and changes are seen at once"),
        );
    }
    Finding::warning(
        "modules",
        format!(
            "{count} in {place}, where changes are not seen at once, or nothing can be written to try it"
        ),
        "nothing need be done: the directory is looked at every few seconds anyway",
    )
}
