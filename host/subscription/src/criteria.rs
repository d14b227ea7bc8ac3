//! Which subscriptions an operator's verb is meant for: `--id` and `--group`.

use serde::{Deserialize, Serialize};

/// Any of the ids, and any of the groups; an empty list asks for nothing. Rule from patchlevel's engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Criteria {
    pub ids: Vec<String>,
    pub groups: Vec<String>,
}

impl Criteria {
    /// Whether a subscription with this id and group is meant.
    pub fn matches(&self, id: &str, group: &str) -> bool {
        let allows =
            |wanted: &[String], text: &str| wanted.is_empty() || wanted.iter().any(|w| w == text);
        allows(&self.ids, id) && allows(&self.groups, group)
    }

    /// Whether every subscription is meant.
    pub fn is_everything(&self) -> bool {
        self.ids.is_empty() && self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Criteria;

    fn criteria(ids: &[&str], groups: &[&str]) -> Criteria {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Criteria {
            ids: owned(ids),
            groups: owned(groups),
        }
    }

    #[test]
    fn means_any_of_the_ids_and_any_of_the_groups() {
        let cases = [
            (criteria(&[], &[]), true),
            (criteria(&["a_1"], &[]), true),
            (criteria(&["b_1", "a_1"], &[]), true),
            (criteria(&["b_1"], &[]), false),
            (criteria(&[], &["projector"]), true),
            (criteria(&[], &["other", "projector"]), true),
            (criteria(&[], &["other"]), false),
            (criteria(&["a_1"], &["projector"]), true),
            (criteria(&["a_1"], &["other"]), false),
            (criteria(&["b_1"], &["projector"]), false),
            (criteria(&["a"], &[]), false),
        ];
        for (criteria, expected) in cases {
            assert_eq!(
                criteria.matches("a_1", "projector"),
                expected,
                "{criteria:?}"
            );
        }
    }

    #[test]
    fn means_everything_only_without_any_wish() {
        assert!(criteria(&[], &[]).is_everything());
        assert!(!criteria(&["a_1"], &[]).is_everything());
        assert!(!criteria(&[], &["projector"]).is_everything());
    }
}
