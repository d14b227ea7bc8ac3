//! `--id` and `--group`: which subscriptions a verb is for.

use subscription::Criteria;

use super::output::{Exit, Refusal};
use crate::admin;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct CriteriaArguments {
    /// Only this subscription. May be repeated: any of them.
    #[arg(long, value_name = "ID")]
    pub id: Vec<String>,
    /// Only subscriptions of this group. May be repeated: any of them. With --id, both must fit.
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
}

impl From<&CriteriaArguments> for Criteria {
    fn from(arguments: &CriteriaArguments) -> Criteria {
        Criteria {
            ids: arguments.id.clone(),
            groups: arguments.group.clone(),
        }
    }
}

/// An error of floor 3 with its hint, and the exit code that its cause asks for.
pub fn explain(error: admin::Error) -> anyhow::Error {
    match error {
        admin::Error::Store(error) => error.into(),
        other => match other.hint() {
            None => other.into(),
            hint => Refusal {
                what: other.to_string(),
                because: Vec::new(),
                hint,
                exit: Exit::Failed,
            }
            .into(),
        },
    }
}
