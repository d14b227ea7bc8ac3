//! The rows of one table that a batch has read or written, by key.

use std::collections::HashMap;

use crate::store::value::Value;

/// What a value takes beside its text, in bytes: itself, and its share of list, key and places.
const VALUE_BYTES: usize = 64;

/// What is known of the row of one key.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    Present(Vec<Value>),
    /// There is no such row. Its key, which no row tells.
    Absent(Vec<Value>),
    /// It was written in a form that the server may have changed: it has to be read.
    Unsure,
}

#[derive(Default)]
pub(super) struct Cache {
    places: HashMap<String, usize>,
    entries: Vec<Entry>,
    changed: Vec<usize>,
    bytes: usize,
}

struct Entry {
    known: Known,
    /// Not written yet.
    changed: bool,
    /// The server gives back just what was written.
    exact: bool,
    bytes: usize,
}

/// Rows to write and keys to delete.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes<'a> {
    pub written: Vec<&'a [Value]>,
    pub deleted: Vec<&'a [Value]>,
}

impl Cache {
    /// The row of a key; the outer `None`: it is not known.
    pub fn get(&self, key: &str) -> Option<Option<&Vec<Value>>> {
        match &self.entries[*self.places.get(key)?].known {
            Known::Present(row) => Some(Some(row)),
            Known::Absent(_) => Some(None),
            Known::Unsure => None,
        }
    }

    /// What the server said.
    pub fn learn(&mut self, key: String, known: Known) {
        let place = self.place(key);
        self.set(place, known, true);
    }

    /// What is to be written. `exact`: reading it would give back the same values.
    pub fn change(&mut self, key: String, known: Known, exact: bool) {
        let place = self.place(key);
        self.set(place, known, exact);
        let entry = &mut self.entries[place];
        if !entry.changed {
            entry.changed = true;
            self.changed.push(place);
        }
    }

    pub fn changes(&self) -> Changes<'_> {
        let mut changes = Changes::default();
        for place in &self.changed {
            match &self.entries[*place].known {
                Known::Present(row) => changes.written.push(row),
                Known::Absent(key) => changes.deleted.push(key),
                Known::Unsure => {}
            }
        }
        changes
    }

    /// All changes have been written. Whether the server gives back all of them as they were written; the others have to be read.
    pub fn settle(&mut self) -> bool {
        let mut are_exact = true;
        for place in std::mem::take(&mut self.changed) {
            self.entries[place].changed = false;
            if !self.entries[place].exact {
                self.set(place, Known::Unsure, true);
                are_exact = false;
            }
        }
        are_exact
    }

    pub fn clear(&mut self) {
        *self = Cache::default();
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What it holds, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn place(&mut self, key: String) -> usize {
        let next = self.entries.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.entries.push(Entry {
                known: Known::Unsure,
                changed: false,
                exact: true,
                bytes: 0,
            });
        }
        place
    }

    fn set(&mut self, place: usize, known: Known, exact: bool) {
        let entry = &mut self.entries[place];
        let bytes = match &known {
            Known::Present(values) | Known::Absent(values) => size_bytes(values),
            Known::Unsure => VALUE_BYTES,
        };
        self.bytes = self.bytes + bytes - entry.bytes;
        entry.bytes = bytes;
        entry.known = known;
        entry.exact = exact;
    }
}

fn size_bytes(values: &[Value]) -> usize {
    values
        .iter()
        .map(|value| VALUE_BYTES + value.text_bytes())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, amount: i64) -> Vec<Value> {
        vec![Value::Text(id.to_owned()), Value::Integer(amount)]
    }

    fn key(id: &str) -> Vec<Value> {
        vec![Value::Text(id.to_owned())]
    }

    #[test]
    fn a_row_is_written_once_however_often_it_changes() {
        let mut cache = Cache::default();
        cache.learn("a".to_owned(), Known::Present(row("a", 0)));
        for amount in 1..=3 {
            cache.change("a".to_owned(), Known::Present(row("a", amount)), true);
        }
        assert_eq!(cache.changes().written, [&row("a", 3)[..]]);
        cache.settle();
        assert_eq!(cache.changes(), Changes::default());
        assert_eq!(cache.get("a"), Some(Some(&row("a", 3))));
    }

    #[test]
    fn what_is_deleted_is_known_to_be_absent() {
        let mut cache = Cache::default();
        cache.change("a".to_owned(), Known::Present(row("a", 1)), true);
        cache.change("a".to_owned(), Known::Absent(key("a")), true);
        assert_eq!(cache.changes().deleted, [&key("a")[..]]);
        cache.settle();
        assert_eq!(cache.get("a"), Some(None));
    }

    #[test]
    fn what_the_server_may_have_changed_is_read_again() {
        let mut cache = Cache::default();
        cache.change("a".to_owned(), Known::Present(row("a", 1)), false);
        assert_eq!(cache.get("a"), Some(Some(&row("a", 1))));
        cache.settle();
        assert_eq!(cache.get("a"), None);
        cache.learn("a".to_owned(), Known::Present(row("a", 2)));
        cache.settle();
        assert_eq!(cache.get("a"), Some(Some(&row("a", 2))));
    }

    #[test]
    fn knows_what_it_holds() {
        let mut cache = Cache::default();
        cache.learn("a".to_owned(), Known::Present(row(&"x".repeat(1_000), 1)));
        assert!(cache.bytes() > 1_000, "{}", cache.bytes());
        cache.learn("a".to_owned(), Known::Present(row("x", 1)));
        assert!(cache.bytes() < 1_000, "{}", cache.bytes());
        cache.clear();
        assert_eq!((cache.bytes(), cache.len()), (0, 0));
    }
}
