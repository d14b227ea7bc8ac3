//! The rows that a guest has in hand: read once, changed in memory, and handed to the host together.
//!
//! A call to the host costs more than what a handler does with a row, so rows stay here as long as this instance lives
//! and nobody else can change them: a statement of the guest sends them out and forgets them all.

use crate::bindings::projectionist::guest::context;
use crate::bindings::projectionist::rows::tables;
use crate::failure::{Failure, Result};
use crate::row::{KeyValues, TableRow};
use crate::sql::Error;
use crate::value::{Value, size_bytes};
use std::any::{Any, TypeId};
use std::borrow::Borrow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

/// Changed rows that are kept back at most; past it they go to the host at once.
const CHANGED_ROWS_MAX: usize = 20_000;

/// How many more rows have to change before the guest's memory is looked at.
const LOOK_EVERY: usize = 1_000;

/// Bytes of changed rows that go out in one call at most: far below what one call may pass to the host.
const CALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of rows that are kept from one chunk to the next.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The guest's memory, in bytes, up to which changed rows are kept back until the batch ends.
#[cfg(target_arch = "wasm32")]
const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What reads and writes rows for a guest.
pub(crate) trait Host {
    fn get(table: &str, keys: &[Vec<Value>]) -> Result<Vec<Option<Vec<Value>>>, Error>;
    fn put(table: &str, rows: &[Vec<Value>]) -> Result<(), Error>;
    fn delete(table: &str, keys: &[Vec<Value>]) -> Result<(), Error>;
}

/// The host behind the interface.
pub(crate) struct Imported;

impl Host for Imported {
    fn get(table: &str, keys: &[Vec<Value>]) -> Result<Vec<Option<Vec<Value>>>, Error> {
        Ok(tables::get(table, keys)?)
    }

    fn put(table: &str, rows: &[Vec<Value>]) -> Result<(), Error> {
        Ok(tables::put(table, rows)?)
    }

    fn delete(table: &str, keys: &[Vec<Value>]) -> Result<(), Error> {
        Ok(tables::delete(table, keys)?)
    }
}

thread_local! {
    static IN_HAND: InHand = InHand::default();
}

/// The rows of one table.
pub(crate) fn rows<T: TableRow>() -> Result<Rc<RefCell<Rows<T, Imported>>>> {
    IN_HAND.with(InHand::rows)
}

/// Hands to the host what is changed.
pub(crate) fn flush() -> Result {
    IN_HAND.with(InHand::flush)
}

/// After a chunk: what is changed goes to the host, unless the host will say when the batch ends. A row that changes in every chunk goes
/// out once then.
pub(crate) fn end_chunk() -> Result {
    IN_HAND.with(|in_hand| {
        if in_hand.is_empty() || (has_room() && host_finishes()) {
            return Ok(());
        }
        in_hand.flush()
    })
}

/// Whether the host calls `finish`. It is asked once. Elsewhere than in a component there is no host.
fn host_finishes() -> bool {
    thread_local! {
        static FINISHES: OnceCell<bool> = const { OnceCell::new() };
    }
    let asked = || context::attribute("finish").as_deref() == Some("true");
    cfg!(target_arch = "wasm32") && FINISHES.with(|finishes| *finishes.get_or_init(asked))
}

/// Whether the guest's memory is so small that it may keep rows back.
fn has_room() -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        const PAGE_BYTES: usize = 64 * 1024;
        core::arch::wasm32::memory_size::<0>() * PAGE_BYTES < MEMORY_BYTES_MAX
    }
    #[cfg(not(target_arch = "wasm32"))]
    true
}

/// Hands to the host what is changed and forgets all rows: a statement may change any of them.
pub(crate) fn flush_and_forget() -> Result<(), Error> {
    IN_HAND.with(InHand::flush_and_forget)
}

/// Forgets all rows, changed or not: the host gives them up too.
pub(crate) fn forget() {
    IN_HAND.with(InHand::forget);
}

/// The tables that were touched, few enough to be searched one by one.
#[derive(Default)]
struct InHand(RefCell<Vec<Known>>);

#[derive(Clone)]
struct Known {
    row: TypeId,
    table: &'static str,
    rows: Rc<dyn AnyRows>,
    any: Rc<dyn Any>,
}

impl InHand {
    fn rows<T: TableRow, H: Host + 'static>(&self) -> Result<Rc<RefCell<Rows<T, H>>>> {
        let row = TypeId::of::<T>();
        let found = self
            .0
            .borrow()
            .iter()
            .find(|known| known.row == row)
            .cloned();
        if let Some(known) = found {
            return Ok(downcast(known.any));
        }
        // Two structs over one table see each other's writes by way of the host: only one of them is in hand.
        let other = self
            .0
            .borrow()
            .iter()
            .position(|known| known.table == T::TABLE);
        if let Some(place) = other {
            let other = self.0.borrow_mut().remove(place);
            other.rows.flush()?;
        }
        let rows = Rc::new(RefCell::new(Rows::<T, H>::default()));
        self.0.borrow_mut().push(Known {
            row,
            table: T::TABLE,
            rows: rows.clone(),
            any: rows.clone(),
        });
        Ok(rows)
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn flush(&self) -> Result {
        let known = self.0.borrow().clone();
        Ok(known.iter().try_for_each(|known| known.rows.flush())?)
    }

    fn flush_and_forget(&self) -> Result<(), Error> {
        let known = self.0.borrow().clone();
        known.iter().try_for_each(|known| known.rows.flush())?;
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        self.0.borrow().iter().for_each(|known| known.rows.forget());
    }
}

fn downcast<R: 'static>(any: Rc<dyn Any>) -> Rc<R> {
    any.downcast()
        .expect("rows are stored under the id of their type")
}

/// Rows of any type.
trait AnyRows {
    fn flush(&self) -> Result<(), Error>;
    fn forget(&self);
}

impl<T: TableRow, H: Host> AnyRows for RefCell<Rows<T, H>> {
    fn flush(&self) -> Result<(), Error> {
        self.borrow_mut().flush()
    }

    fn forget(&self) {
        self.borrow_mut().forget();
    }
}

/// The rows of one table by key.
pub(crate) struct Rows<T: TableRow, H> {
    places: HashMap<T::Key, usize, BuildHasherDefault<KeyHasher>>,
    slots: Vec<Slot<T>>,
    changed: Vec<usize>,
    bytes: usize,
    /// Counts how often all was forgotten: a place from before is none any more.
    era: u64,
    host: std::marker::PhantomData<H>,
}

struct Slot<T> {
    row: Held<T>,
    changed: bool,
    bytes: usize,
}

enum Held<T> {
    /// There is no such row.
    Nothing,
    Values(Vec<Value>),
    Row(T),
    /// A handler is changing it just now.
    Lent,
}

/// The row of a key, out of hand while a handler changes it.
pub(crate) struct Lent<T> {
    pub row: Option<T>,
    place: usize,
    era: u64,
}

impl<T: TableRow, H> Default for Rows<T, H> {
    fn default() -> Self {
        Rows {
            places: HashMap::default(),
            slots: Vec::new(),
            changed: Vec::new(),
            bytes: 0,
            era: 0,
            host: std::marker::PhantomData,
        }
    }
}

impl<T: TableRow, H: Host> Rows<T, H> {
    /// A copy of the row.
    pub fn get<K>(&mut self, key: &K) -> Result<Option<T>>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        let place = self.place(key)?;
        let values = match &self.slots[place].row {
            Held::Nothing => return Ok(None),
            Held::Values(values) => values.clone(),
            Held::Row(row) => row.to_values(),
            Held::Lent => return Err(being_changed::<T>(&key.key_values())),
        };
        Ok(Some(T::from_values(values)?))
    }

    /// Takes the row out of hand, to be [given back](Self::give_back).
    pub fn lend<K>(&mut self, key: &K) -> Result<Lent<T>>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        let place = self.place(key)?;
        let slot = &mut self.slots[place];
        let row = match std::mem::replace(&mut slot.row, Held::Lent) {
            Held::Nothing => None,
            Held::Row(row) => Some(row),
            Held::Values(values) => Some(T::from_values(values)?),
            Held::Lent => return Err(being_changed::<T>(&key.key_values())),
        };
        Ok(Lent {
            row,
            place,
            era: self.era,
        })
    }

    /// Takes a changed row back under the key that it was lent by.
    pub fn give_back<K>(&mut self, key: &K, lent: Lent<T>) -> Result
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        let Lent { row, place, era } = lent;
        let (held, changed) = match row {
            Some(row) if row.key().borrow() != key => {
                return Err(Failure::stop(format!(
                    "a change of the row with the key {:?} of table {} gave it another key; put a new row and delete the old one",
                    key.key_values(),
                    T::TABLE
                )));
            }
            Some(row) => (Held::Row(row), true),
            None => (Held::Nothing, false),
        };
        if era == self.era {
            self.hold(place, held, changed)
        } else if changed {
            // A statement within the change sent everything out meanwhile.
            self.replace(key.to_owned(), held)
        } else {
            Ok(())
        }
    }

    /// Puts the row, over one of the same key.
    pub fn put(&mut self, row: &T) -> Result {
        let key = row.key();
        self.replace(key, Held::Values(row.to_values()))
    }

    /// Removes the row.
    pub fn delete(&mut self, key: T::Key) -> Result {
        self.replace(key, Held::Nothing)
    }

    /// Reads in one call those of the rows that are not in hand.
    pub fn fetch(&mut self, keys: Vec<T::Key>) -> Result {
        let mut keys: Vec<T::Key> = keys
            .into_iter()
            .filter(|key| !self.places.contains_key(key))
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        keys.dedup();
        let wanted: Vec<_> = keys.iter().map(KeyValues::key_values).collect();
        let found = H::get(T::TABLE, &wanted)?;
        for (key, row) in keys.into_iter().zip(found) {
            self.add_found(key, row);
        }
        Ok(())
    }

    fn place<K>(&mut self, key: &K) -> Result<usize>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        if let Some(place) = self.places.get(key) {
            return Ok(*place);
        }
        let found = H::get(T::TABLE, &[key.key_values()])?;
        Ok(self.add_found(key.to_owned(), found.into_iter().next().flatten()))
    }

    fn add_found(&mut self, key: T::Key, row: Option<Vec<Value>>) -> usize {
        let bytes = row.as_deref().map_or(0, size_bytes);
        self.add(key, row.map_or(Held::Nothing, Held::Values), bytes)
    }

    fn add(&mut self, key: T::Key, row: Held<T>, bytes: usize) -> usize {
        let place = self.slots.len();
        self.slots.push(Slot {
            row,
            changed: false,
            bytes,
        });
        self.bytes += bytes;
        self.places.insert(key, place);
        place
    }

    fn replace(&mut self, key: T::Key, held: Held<T>) -> Result {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.add(key, Held::Lent, 0),
        };
        self.hold(place, held, true)
    }

    fn hold(&mut self, place: usize, held: Held<T>, changed: bool) -> Result {
        let slot = &mut self.slots[place];
        slot.row = held;
        if changed && !slot.changed {
            slot.changed = true;
            self.changed.push(place);
            let changed = self.changed.len();
            if changed >= CHANGED_ROWS_MAX || (changed.is_multiple_of(LOOK_EVERY) && !has_room()) {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut changed = std::mem::take(&mut self.changed);
        // One that a handler is changing just now goes out with what it becomes.
        changed.retain(|place| {
            !matches!(self.slots[*place].row, Held::Lent) || {
                self.slots[*place].changed = false;
                false
            }
        });
        self.flush_deleted(&changed)?;
        let mut outgoing = Vec::new();
        let mut bytes = 0;
        for place in changed {
            let slot = &mut self.slots[place];
            slot.changed = false;
            let values = match &mut slot.row {
                Held::Values(values) => std::mem::take(values),
                Held::Row(row) => row.to_values(),
                Held::Nothing | Held::Lent => continue,
            };
            let size = size_bytes(&values);
            self.bytes = self.bytes + size - slot.bytes;
            slot.bytes = size;
            bytes += size;
            outgoing.push((place, values));
            if bytes >= CALL_BYTES_MAX {
                bytes = 0;
                self.send(std::mem::take(&mut outgoing))?;
            }
        }
        if !outgoing.is_empty() {
            self.send(outgoing)?;
        }
        if self.bytes > KEPT_BYTES_MAX {
            self.forget();
        }
        Ok(())
    }

    fn send(&mut self, outgoing: Vec<(usize, Vec<Value>)>) -> Result<(), Error> {
        let (places, rows): (Vec<usize>, Vec<Vec<Value>>) = outgoing.into_iter().unzip();
        H::put(T::TABLE, &rows)?;
        for (place, values) in places.into_iter().zip(rows) {
            if let Held::Values(taken) = &mut self.slots[place].row {
                *taken = values;
            }
        }
        Ok(())
    }

    fn flush_deleted(&mut self, changed: &[usize]) -> Result<(), Error> {
        let is_deleted = |place: &usize| matches!(self.slots[*place].row, Held::Nothing);
        if !changed.iter().any(is_deleted) {
            return Ok(());
        }
        let deleted: std::collections::BTreeSet<usize> =
            changed.iter().copied().filter(is_deleted).collect();
        let mut keys: Vec<(usize, Vec<Value>)> = self
            .places
            .iter()
            .filter(|(_, place)| deleted.contains(place))
            .map(|(key, place)| (*place, key.key_values()))
            .collect();
        keys.sort_unstable_by_key(|(place, _)| *place);
        let keys: Vec<_> = keys.into_iter().map(|(_, key)| key).collect();
        for place in deleted {
            self.slots[place].changed = false;
        }
        H::delete(T::TABLE, &keys)
    }

    fn forget(&mut self) {
        self.places.clear();
        self.slots.clear();
        self.changed.clear();
        self.bytes = 0;
        self.era += 1;
    }
}

/// Keys are short and their guest's own, so a hash that is quick will do. What a guest does must not depend on its order.
#[derive(Default)]
struct KeyHasher(u64);

impl KeyHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(number.into());
    }

    fn finish(&self) -> u64 {
        // The map takes its places from the high bits as well as from the low ones.
        self.0 ^ (self.0 >> 32)
    }
}

fn being_changed<T: TableRow>(key: &[Value]) -> Failure {
    Failure::stop(format!(
        "the row with the key {key:?} of table {} is asked for while it is being changed; take what you need before the change",
        T::TABLE
    ))
}

#[cfg(test)]
mod tests;
