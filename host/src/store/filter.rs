//! A filter of subscriptions as a condition in SQL. What a guest wants to see travels in parameters only.

use subscription::{Clause, Descriptor, EventPart, EventParts, Filter, Pattern};

/// The condition, with placeholders of [`super::EventSource`] for the columns, and what it compares with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFilter {
    /// Empty for no condition.
    conditions: Vec<Condition>,
    /// What is read of the events; the rest of them is empty.
    parts: EventParts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    terms: Vec<Term>,
}

/// What one list of a clause asks of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Any {
        column: &'static str,
        patterns: Patterns,
    },
    None {
        column: &'static str,
        patterns: Patterns,
    },
    Tagged {
        patterns: Patterns,
    },
}

/// A list of patterns, sorted by how they are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Patterns {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl ReadFilter {
    /// Every event.
    pub fn everything() -> ReadFilter {
        ReadFilter::default()
    }

    /// The events that a guest wants, and what it looks at of them.
    pub fn of(descriptor: &Descriptor) -> ReadFilter {
        ReadFilter {
            parts: descriptor.event_parts(),
            ..ReadFilter::from(&descriptor.filter)
        }
    }

    pub(super) fn parts(&self) -> EventParts {
        self.parts
    }

    /// A statement whose list of columns comes first, without those that are not read. Another column follows them.
    pub(super) fn prune(&self, statement: &str) -> String {
        let columns = [
            (EventPart::Id, "{id},"),
            (EventPart::Stream, "{stream},"),
            (EventPart::Version, "{version},"),
            (EventPart::RecordedAt, "{recorded_at},"),
            (EventPart::Data, "{data},"),
            (EventPart::Metadata, "{metadata},"),
            (EventPart::Causation, "{causation_id}, {correlation_id},"),
            (EventPart::Tags, "{tags},"),
        ];
        let unread = columns
            .into_iter()
            .filter(|(part, _)| !self.parts.has(*part));
        unread.fold(statement.to_owned(), |statement, (_, columns)| {
            statement.replacen(columns, "", 1)
        })
    }

    /// The text of the condition, its parameters numbered from `first`, and the parameters, each a `text[]`.
    pub(super) fn to_sql(&self, first: usize) -> (String, Vec<Vec<String>>) {
        let mut parameters = Parameters {
            first,
            values: Vec::new(),
        };
        if self.conditions.is_empty() {
            return ("true".to_owned(), parameters.values);
        }
        let clauses: Vec<String> = self
            .conditions
            .iter()
            .map(|condition| {
                let terms: Vec<String> = condition
                    .terms
                    .iter()
                    .map(|term| term.to_sql(&mut parameters))
                    .collect();
                format!("({})", terms.join(" AND "))
            })
            .collect();
        (clauses.join(" OR "), parameters.values)
    }
}

impl From<&Filter> for ReadFilter {
    fn from(filter: &Filter) -> ReadFilter {
        if filter.is_everything() {
            return ReadFilter::everything();
        }
        ReadFilter {
            conditions: filter.0.iter().map(Condition::from).collect(),
            parts: EventParts::ALL,
        }
    }
}

impl From<&Clause> for Condition {
    fn from(clause: &Clause) -> Condition {
        let lists = [
            (
                &clause.types,
                Term::Any {
                    column: "{type}",
                    patterns: Patterns::from(&clause.types),
                },
            ),
            (
                &clause.except_types,
                Term::None {
                    column: "{type}",
                    patterns: Patterns::from(&clause.except_types),
                },
            ),
            (
                &clause.streams,
                Term::Any {
                    column: "{stream}",
                    patterns: Patterns::from(&clause.streams),
                },
            ),
            (
                &clause.tags,
                Term::Tagged {
                    patterns: Patterns::from(&clause.tags),
                },
            ),
        ];
        let terms = lists
            .into_iter()
            .filter(|(list, _)| !list.is_empty())
            .map(|(_, term)| term)
            .collect();
        Condition { terms }
    }
}

impl From<&Vec<Pattern>> for Patterns {
    fn from(list: &Vec<Pattern>) -> Patterns {
        let mut patterns = Patterns::default();
        for pattern in list {
            match pattern {
                Pattern::Exact(text) => patterns.exact.push(text.clone()),
                Pattern::Prefix(text) => patterns.prefixes.push(text.clone()),
            }
        }
        patterns
    }
}

impl Term {
    fn to_sql(&self, parameters: &mut Parameters) -> String {
        match self {
            Term::Any { column, patterns } => patterns.to_sql(column, parameters),
            Term::None { column, patterns } => {
                format!("NOT {}", patterns.to_sql(column, parameters))
            }
            // The index on tags is partial: it serves only who says that there are any.
            Term::Tagged { patterns } if patterns.prefixes.is_empty() => {
                format!(
                    "({{tags}} <> '{{}}' AND {{tags}} && {})",
                    parameters.add(&patterns.exact)
                )
            }
            Term::Tagged { patterns } => {
                let tag = patterns.to_sql("t.tag", parameters);
                format!(
                    "({{tags}} <> '{{}}' AND EXISTS (SELECT FROM pg_catalog.unnest({{tags}}) t (tag) WHERE {tag}))"
                )
            }
        }
    }
}

impl Patterns {
    fn to_sql(&self, column: &str, parameters: &mut Parameters) -> String {
        let mut either = Vec::new();
        if !self.exact.is_empty() {
            either.push(format!("{column} = ANY ({})", parameters.add(&self.exact)));
        }
        if !self.prefixes.is_empty() {
            either.push(format!(
                "{column} ^@ ANY ({})",
                parameters.add(&self.prefixes)
            ));
        }
        format!("({})", either.join(" OR "))
    }
}

struct Parameters {
    first: usize,
    values: Vec<Vec<String>>,
}

impl Parameters {
    fn add(&mut self, value: &[String]) -> String {
        self.values.push(value.to_vec());
        format!("${}::pg_catalog.text[]", self.first + self.values.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(clauses: &[[&[&str]; 4]]) -> Filter {
        let patterns = |list: &[&str]| -> Vec<Pattern> {
            list.iter()
                .map(|text| text.parse().expect("a pattern"))
                .collect()
        };
        Filter(
            clauses
                .iter()
                .map(|[types, except_types, streams, tags]| Clause {
                    types: patterns(types),
                    except_types: patterns(except_types),
                    streams: patterns(streams),
                    tags: patterns(tags),
                })
                .collect(),
        )
    }

    #[test]
    fn no_clause_is_no_condition() {
        assert_eq!(
            ReadFilter::from(&filter(&[])).to_sql(4),
            ("true".to_owned(), vec![])
        );
    }

    #[test]
    fn clauses_are_alternatives_and_lists_must_all_match() {
        let filter = filter(&[
            [&["A", "B", "W_*"], &["W_x"], &["loan-*"], &[]],
            [&[], &[], &[], &["vip", "region:*"]],
        ]);
        let (sql, parameters) = ReadFilter::from(&filter).to_sql(4);
        insta::assert_snapshot!(format!("{sql}\n{parameters:?}"));
    }

    #[test]
    fn exact_tags_use_the_index() {
        let (sql, _) = ReadFilter::from(&filter(&[[&[], &[], &[], &["vip"]]])).to_sql(4);
        assert_eq!(
            sql,
            "(({tags} <> '{}' AND {tags} && $4::pg_catalog.text[]))"
        );
    }
}
