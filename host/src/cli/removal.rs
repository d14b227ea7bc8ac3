//! `projectionist remove` and `projectionist teardown`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use subscription::Criteria;

use super::criteria::{CriteriaArguments, explain};
use super::database::{self, DatabaseArguments, Opened};
use super::guests::{CompilerArguments, runtime};
use super::intent::show;
use super::output::{Exit, OutputArguments, Refusal};
use super::words::counted;
use crate::admin::{self, OnFailure, Removable, Removal};

/// Drop subscriptions of any status: their tables, checkpoints and errors.
///
/// The guest's teardown runs first, from the stored module; whatever it says, the subscription is dropped. A subscription whose
/// file is still in the directory of a host is built anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription was not dropped.

Examples:
  projectionist remove --id accounts_1
  projectionist remove --group projector --yes")]
pub struct RemoveArguments {
    #[command(flatten)]
    common: Common,
}

/// Drop detached subscriptions, with their guest's teardown.
///
/// For what is left of a guest whose file is gone or that a later version has replaced. A teardown that fails keeps the
/// subscription and its tables, unless --force is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code 1: some subscription was not dropped.

Examples:
  projectionist teardown --id accounts_1
  projectionist teardown --id accounts_1 --force --yes")]
pub struct TeardownArguments {
    #[command(flatten)]
    common: Common,
    /// Drop the subscription even if its teardown fails.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub criteria: CriteriaArguments,
    /// All subscriptions.
    #[arg(long, conflicts_with_all = ["id", "group"])]
    pub all: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub compiler: CompilerArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Which of the two verbs, as it is told to people.
#[derive(Clone, Copy)]
enum Verb {
    Remove,
    Teardown(OnFailure),
}

pub async fn remove(
    RemoveArguments { common }: RemoveArguments,
    database: &DatabaseArguments,
) -> anyhow::Result<()> {
    run(&common, Verb::Remove, database).await
}

pub async fn teardown(
    TeardownArguments { common, force }: TeardownArguments,
    database: &DatabaseArguments,
) -> anyhow::Result<()> {
    let on_failure = if force {
        OnFailure::Drop
    } else {
        OnFailure::Keep
    };
    run(&common, Verb::Teardown(on_failure), database).await
}

async fn run(common: &Common, verb: Verb, database: &DatabaseArguments) -> anyhow::Result<()> {
    let criteria = Criteria::from(&common.criteria);
    if criteria.is_everything() && !common.all {
        return Err(too_vague(verb.participle()).into());
    }
    let opened = database::open(database).await?;
    let outcome = drop_all(common, verb, &criteria, &opened).await;
    opened.close().await?;
    outcome
}

async fn drop_all(
    common: &Common,
    verb: Verb,
    criteria: &Criteria,
    opened: &Opened,
) -> anyhow::Result<()> {
    let targets = admin::removable(&opened.store, criteria).await;
    let targets = targets.map_err(explain)?;
    if !common.yes && !targets.is_empty() {
        ask(&question(verb, &targets), verb.participle())?;
    }
    let removal = Removal {
        store: opened.store.clone(),
        runtime: runtime()?,
        compiler: common.compiler.beside(opened)?,
        lane_patience: admin::removal::LANE_PATIENCE,
    };
    let mut changes = Vec::new();
    for target in &targets {
        let change = match verb {
            Verb::Remove => removal.remove(&target.id).await,
            Verb::Teardown(on_failure) => removal.teardown(&target.id, on_failure).await,
        };
        changes.push(change.map_err(explain)?);
    }
    show(&changes, verb.participle(), common.output)
}

/// Asks on the terminal. Without one there is nobody to ask. `participle`: what would be done, such as "removed".
pub fn ask(question: &str, participle: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Refusal {
            what: format!("nothing was {participle}"),
            because: vec![
                "this drops tables, and there is no terminal to ask on whether that is meant"
                    .to_owned(),
            ],
            hint: Some("pass --yes to say that it is".to_owned()),
            exit: Exit::Refused,
        }
        .into());
    }
    // Standard output is for what was done.
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if is_yes(&answer) {
        return Ok(());
    }
    Err(Refusal {
        what: format!("nothing was {participle}"),
        because: Vec::new(),
        hint: None,
        exit: Exit::Failed,
    }
    .into())
}

/// What is not clearly a yes is none: an empty line, or the end of the input.
fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// What will be dropped, and what will come back by itself.
fn question(verb: Verb, targets: &[Removable]) -> String {
    let mut text = String::new();
    for target in targets {
        text.push_str(&format!(
            "{} ({}, {}): its schema {} goes, with all tables in it\n",
            target.id, target.kind, target.status, target.id
        ));
        for place in &target.files {
            text.push_str(&format!(
                "  {} is still in {} of host {}: this is a rebuild, it will be built anew; take the file out first to be rid of it\n",
                place.file, place.modules, place.host
            ));
        }
    }
    let what = counted(targets.len(), "subscription", "subscriptions");
    text.push_str(&match verb {
        Verb::Remove => format!("Remove {what}?"),
        Verb::Teardown(_) => format!("Tear down {what}?"),
    });
    text
}

pub fn too_vague(participle: &str) -> Refusal {
    Refusal {
        what: format!("it is not said which subscriptions are to be {participle}"),
        because: Vec::new(),
        hint: Some(
            "name them with --id or --group (projectionist status lists them), or say --all"
                .to_owned(),
        ),
        exit: Exit::Usage,
    }
}

impl Verb {
    fn participle(self) -> &'static str {
        match self {
            Verb::Remove => "removed",
            Verb::Teardown(_) => "torn down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OnFailure, Removable, Verb, is_yes, question};
    use crate::admin::status::FilePlace;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, expected) in [
            ("y\n", true),
            ("Yes\n", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yesterday\n", false),
        ] {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_question_says_what_goes_and_what_comes_back() {
        let gone = Removable {
            id: "accounts_1".to_owned(),
            status: "Detached(Active)".to_owned(),
            kind: "projector",
            files: Vec::new(),
        };
        let there = Removable {
            id: "accounts_2".to_owned(),
            status: "Active".to_owned(),
            files: vec![FilePlace {
                file: "accounts.wasm".to_owned(),
                host: "blue".to_owned(),
                modules: "/srv/modules".to_owned(),
            }],
            ..gone.clone()
        };
        let questions = [
            question(Verb::Remove, &[gone.clone(), there]),
            question(Verb::Teardown(OnFailure::Keep), &[gone]),
        ];
        insta::assert_snapshot!(questions.join("\n\n"));
    }
}
