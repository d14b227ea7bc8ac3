//! Which of very many filters want an event, found without comparing it with each of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Clause, Filter, Pattern};

/// Filters by the key of whoever has one. A clause stands under texts that an event must have for it to match, if it names
/// such; those that do not, because they ask for beginnings or for everything, are compared with every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterIndex<K> {
    filters: BTreeMap<K, Filter>,
    by_stream: Texts<K>,
    by_tag: Texts<K>,
    by_type: Texts<K>,
    elsewhere: BTreeSet<K>,
}

/// Who asks for a text.
type Texts<K> = BTreeMap<String, BTreeSet<K>>;

impl<K: Ord + Clone> FilterIndex<K> {
    /// What this key wants, from now on.
    pub fn insert(&mut self, key: K, filter: Filter) {
        self.remove(&key);
        for clause in &filter.0 {
            match self.place(clause) {
                Some((texts, patterns)) => {
                    for text in exact(patterns) {
                        texts.entry(text.clone()).or_default().insert(key.clone());
                    }
                }
                None => drop(self.elsewhere.insert(key.clone())),
            }
        }
        if filter.0.is_empty() {
            self.elsewhere.insert(key.clone());
        }
        self.filters.insert(key, filter);
    }

    /// Nothing any more.
    pub fn remove(&mut self, key: &K) {
        let Some(filter) = self.filters.remove(key) else {
            return;
        };
        for clause in &filter.0 {
            if let Some((texts, patterns)) = self.place(clause) {
                for text in exact(patterns) {
                    if let Some(keys) = texts.get_mut(text) {
                        keys.remove(key);
                        if keys.is_empty() {
                            texts.remove(text);
                        }
                    }
                }
            }
        }
        self.elsewhere.remove(key);
    }

    /// Those that want an event of this type, stream and tags, each once, in order.
    pub fn wanting<T: AsRef<str>>(&self, event_type: &str, stream: &str, tags: &[T]) -> Vec<&K> {
        let mut keys = self.asking(event_type, stream, tags);
        keys.retain(|key| {
            let filter = self.filters.get(key);
            filter.is_some_and(|filter| filter.matches(event_type, stream, tags))
        });
        keys
    }

    /// Those with which it has to be compared.
    fn asking<T: AsRef<str>>(&self, event_type: &str, stream: &str, tags: &[T]) -> Vec<&K> {
        let of_tags = tags.iter().filter_map(|tag| self.by_tag.get(tag.as_ref()));
        let mut keys: Vec<&K> = [self.by_stream.get(stream), self.by_type.get(event_type)]
            .into_iter()
            .flatten()
            .chain(of_tags)
            .chain([&self.elsewhere])
            .flatten()
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Where a clause stands: of streams there are the most, of types the fewest, so that streams tell the most apart.
    fn place<'a>(&mut self, clause: &'a Clause) -> Option<(&mut Texts<K>, &'a [Pattern])> {
        let has_texts = |patterns: &[Pattern]| {
            !patterns.is_empty() && exact(patterns).count() == patterns.len()
        };
        if has_texts(&clause.streams) {
            Some((&mut self.by_stream, &clause.streams))
        } else if has_texts(&clause.tags) {
            Some((&mut self.by_tag, &clause.tags))
        } else if has_texts(&clause.types) {
            Some((&mut self.by_type, &clause.types))
        } else {
            None
        }
    }
}

impl<K> Default for FilterIndex<K> {
    fn default() -> FilterIndex<K> {
        FilterIndex {
            filters: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_type: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
        }
    }
}

fn exact(patterns: &[Pattern]) -> impl Iterator<Item = &String> {
    patterns.iter().filter_map(|pattern| match pattern {
        Pattern::Exact(text) => Some(text),
        Pattern::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::FilterIndex;
    use crate::{Clause, Filter, Pattern};

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        Pattern::parse_all(texts).expect("good patterns")
    }

    /// Every list of a clause without, with an exact and with an open pattern: who is compared with which event.
    #[test]
    fn a_clause_with_a_text_of_its_own_is_compared_with_nothing_else() {
        let lists: [&[&str]; 4] = [&[], &["own"], &["own", "ow*"], &["*"]];
        for types in lists {
            for streams in lists {
                for tags in lists {
                    let clause = Clause {
                        types: patterns(types),
                        streams: patterns(streams),
                        tags: patterns(tags),
                        ..Clause::default()
                    };
                    let case = clause.to_string();
                    let mut index = FilterIndex::default();
                    index.insert(1, Filter(vec![clause]));
                    let own = [types, streams, tags].contains(&lists[1]);
                    let compared = index.asking("other", "other", &["other"]);
                    assert_eq!(compared.is_empty(), own, "{case}");
                    assert_eq!(index.asking("own", "own", &["own"]), [&1], "{case}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_of_what_was_taken_out() {
        let mut index = FilterIndex::default();
        let clause = |texts| Clause {
            types: patterns(texts),
            ..Clause::default()
        };
        let both = vec![clause(&["a", "b"]), clause(&["a"]), clause(&["c*"])];
        index.insert(1, Filter(both));
        index.insert(2, Filter::default());
        index.insert(1, Filter(vec![clause(&["d"])]));
        assert_eq!(index.asking::<&str>("a", "s", &[]), [&2]);
        assert_eq!(index.asking::<&str>("d", "s", &[]), [&1, &2]);
        index.remove(&1);
        index.remove(&2);
        assert_eq!(index, FilterIndex::default());
    }
}
