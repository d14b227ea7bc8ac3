//! `projectionist modules`: the modules that are stored in the database.

use clap::Subcommand;
use time::OffsetDateTime;

use super::criteria::explain;
use super::database::{self, DatabaseArguments};
use super::output::{self, OutputArguments};
use super::words::{ago, grouped, size};
use crate::admin::{self, ModuleReport};
use crate::store::Pinned;

/// Digits of a digest that tell modules apart at a glance.
const DIGEST_CHARS: usize = 8;

/// List and show the modules that are stored in the database, and pin them.
///
/// A host stores the bytes of every module that it takes up, so that a subscription runs, is rolled back to and is torn down
/// without its file. A module that no subscription refers to goes with the next one that is removed, unless it is pinned.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  projectionist modules
  projectionist modules show accounts_1
  projectionist modules pin 3f9a2b1c")]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List all of them. The default.
    List(ListArguments),
    /// Show one: its descriptor, imports, size and compile time.
    Show(OneArguments),
    /// Keep one, whether a subscription refers to it or not.
    Pin(OneArguments),
    /// Let one go that was pinned, as soon as no subscription refers to it.
    Unpin(OneArguments),
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, clap::Args)]
pub struct OneArguments {
    /// The beginning of its digest, or the id of a subscription that runs it.
    #[arg(value_name = "MODULE")]
    module: String,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    let opened = database::open(database).await?;
    let store = &opened.store;
    let now = store.clock().await;
    let done = match &arguments.what {
        None => admin::modules(store)
            .await
            .map(|all| (all, arguments.output)),
        Some(What::List(list)) => admin::modules(store).await.map(|all| (all, list.output)),
        Some(What::Show(one)) => one_of(admin::module(store, &one.module).await, one),
        Some(What::Pin(one)) => one_of(admin::pin(store, &one.module, Pinned::Yes).await, one),
        Some(What::Unpin(one)) => one_of(admin::pin(store, &one.module, Pinned::No).await, one),
    };
    opened.close().await?;
    let (modules, OutputArguments { json }) = done.map_err(explain)?;
    let now = now?;
    if json {
        for module in &modules {
            output::print(serde_json::to_string(module)?)?;
        }
        return Ok(());
    }
    output::print(match &arguments.what {
        None | Some(What::List(_)) => table(&modules, now),
        Some(What::Show(_)) => modules
            .first()
            .map(|one| shown(one, now))
            .unwrap_or_default(),
        Some(What::Pin(_)) => said(
            &modules,
            "is pinned: it is kept whether anything runs it or not",
        ),
        Some(What::Unpin(_)) => said(&modules, "is not pinned: it goes when nothing runs it"),
    })?;
    Ok(())
}

fn one_of(
    found: Result<ModuleReport, admin::Error>,
    arguments: &OneArguments,
) -> Result<(Vec<ModuleReport>, OutputArguments), admin::Error> {
    found.map(|one| (vec![one], arguments.output))
}

fn said(modules: &[ModuleReport], what: &str) -> String {
    let one = modules.first();
    one.map_or_else(String::new, |one| {
        format!("{} of {} {what}", short(one), one.id)
    })
}

fn short(module: &ModuleReport) -> &str {
    &module.digest[..DIGEST_CHARS.min(module.digest.len())]
}

fn table(modules: &[ModuleReport], now: OffsetDateTime) -> String {
    if modules.is_empty() {
        return "no modules are stored yet; a host stores those that it takes up".to_owned();
    }
    let mut table = output::table(&["module", "for", "kind", "size", "stored", "run by", ""]);
    for one in modules {
        table.add_row([
            short(one).to_owned(),
            one.id.clone(),
            one.kind.to_owned(),
            size(one.size_bytes.unsigned_abs()),
            format!("{} ago", ago(one.stored_at, now)),
            one.used_by.join(", "),
            if one.pinned_at.is_some() {
                "pinned"
            } else {
                ""
            }
            .to_owned(),
        ]);
    }
    table.trim_fmt()
}

fn shown(one: &ModuleReport, now: OffsetDateTime) -> String {
    let files = one
        .files
        .iter()
        .map(|file| format!("{} in {} of {}", file.file, file.modules, file.host));
    let files: Vec<String> = files.collect();
    let or_none = |list: &[String]| match list {
        [] => "none".to_owned(),
        some => some.join("\n              "),
    };
    let compiled = one.compile_ms.map_or_else(
        || "not known".to_owned(),
        |ms| format!("in {} ms", grouped(ms)),
    );
    let descriptor = serde_json::to_string(&one.descriptor).unwrap_or_default();
    let lines = [
        ("for", format!("{}, a {}", one.id, one.kind)),
        ("run by", or_none(&one.used_by)),
        ("files", or_none(&files)),
        ("size", size(one.size_bytes.unsigned_abs())),
        ("stored", format!("{} ago", ago(one.stored_at, now))),
        ("compiled", compiled),
        (
            "pinned",
            one.pinned_at
                .map_or_else(|| "no".to_owned(), |at| format!("since {}", ago(at, now))),
        ),
        ("imports", or_none(&one.imports)),
        ("descriptor", descriptor),
    ];
    let lines = lines.map(|(name, value)| format!("\n  {name:<10}  {value}"));
    format!("{}{}", one.digest, lines.concat())
}
