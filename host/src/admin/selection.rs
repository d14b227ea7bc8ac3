//! Which subscriptions a verb is for, and what is said when there is no such.

use std::collections::BTreeSet;

use subscription::Criteria;

use super::Error;
use crate::store::{self, Store, Subscription};

/// Ids offered in place of one that is not known.
const NEAR_MAX: usize = 3;

/// The subscriptions that are meant, by id. A wish that nothing can fulfil is an error: it is a typing mistake.
pub(super) async fn select(store: &Store, criteria: &Criteria) -> Result<Vec<Subscription>, Error> {
    let mut known = store.subscriptions().await.map_err(sorted)?;
    check(&known, criteria)?;
    known.retain(|subscription| criteria.matches(&subscription.id, &subscription.group));
    if known.is_empty() && !criteria.is_everything() {
        return Err(Error::NothingMatches);
    }
    Ok(known)
}

/// The ids of those that are meant, for verbs that are not rows alone.
pub async fn matching(store: &Store, criteria: &Criteria) -> Result<Vec<String>, Error> {
    let found = select(store, criteria).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// Whether the tables are there at all is first found out here.
fn sorted(error: store::Error) -> store::Error {
    match error {
        store::Error::Database { source } => store::Error::from_statement(source),
        other => other,
    }
}

fn check(known: &[Subscription], criteria: &Criteria) -> Result<(), Error> {
    let ids: BTreeSet<&str> = known.iter().map(|found| found.id.as_str()).collect();
    let groups: BTreeSet<&str> = known.iter().map(|found| found.group.as_str()).collect();
    let unknown = |wanted: &[String], there: &BTreeSet<&str>| -> Vec<String> {
        let missing = wanted.iter().filter(|text| !there.contains(text.as_str()));
        missing.cloned().collect()
    };
    let unknown_ids = unknown(&criteria.ids, &ids);
    if !unknown_ids.is_empty() {
        return Err(Error::UnknownIds {
            near: near(&unknown_ids, &ids),
            ids: unknown_ids,
        });
    }
    let unknown_groups = unknown(&criteria.groups, &groups);
    if !unknown_groups.is_empty() {
        return Err(Error::UnknownGroups {
            groups: unknown_groups,
            known: groups.into_iter().map(str::to_owned).collect(),
        });
    }
    Ok(())
}

/// What may have been meant: ids of the line that was named, and ids that are spelled nearly so; the nearest first.
fn near(wanted: &[String], known: &BTreeSet<&str>) -> Vec<String> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for text in wanted {
        for id in known {
            let of_line = id
                .strip_prefix(text.as_str())
                .is_some_and(|rest| rest.starts_with('_'));
            let distance = strsim::osa_distance(text, id);
            if of_line {
                found.push((0, id));
            } else if distance <= 1 + text.chars().count() / 4 {
                found.push((distance, id));
            }
        }
    }
    found.sort_unstable();
    let mut ids: Vec<String> = Vec::new();
    for (_, id) in found {
        if ids.len() < NEAR_MAX && !ids.iter().any(|there| there == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::near;

    #[test]
    fn offers_what_may_have_been_meant() {
        let known = BTreeSet::from(["accounts_1", "accounts_2", "orders_1", "order_mails", "x_1"]);
        let cases: [(&str, &[&str]); 6] = [
            ("accounts", &["accounts_1", "accounts_2"]),
            ("acounts_1", &["accounts_1", "accounts_2"]),
            ("accounts_3", &["accounts_1", "accounts_2"]),
            ("odrers_1", &["orders_1"]),
            ("order-mails", &["order_mails"]),
            ("invoices_1", &[]),
        ];
        for (wanted, expected) in cases {
            assert_eq!(near(&[wanted.to_owned()], &known), expected, "{wanted}");
        }
    }
}
