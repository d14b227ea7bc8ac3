//! Typed access to a table by primary key, over the host's buffered rows.

use crate::extract::{Extract, InBatch};
use crate::failure::{Failure, Result};
use crate::in_hand;
use crate::parts::Parts;
use crate::row::{KeyValues, TableRow};
use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;

/// A table of this guest, by primary key. Reads see the writes of this batch; writes are kept in memory and reach
/// PostgreSQL in bulk, so a row that changes a hundred times in a batch is written once. What the host has against a row
/// therefore shows at the end of a batch, or at the next statement by [`Sql`](crate::Sql).
///
/// `K` is the key or its borrowed form: `str` for a `String`. The key of several fields is a tuple of them.
#[derive(Debug)]
pub struct Table<T>(PhantomData<T>);

impl<S: InBatch, T: TableRow> Extract<S> for Table<T> {
    const PARTS: Parts = Parts::NONE;

    fn extract(_: &S) -> Result<Self> {
        Ok(Table(PhantomData))
    }
}

impl<T: TableRow> Table<T> {
    /// The row of this key.
    ///
    /// # Errors
    /// The host could not read it.
    pub fn get<K>(&self, key: &K) -> Result<Option<T>>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        in_hand::rows::<T>()?.borrow_mut().get::<K>(key)
    }

    /// Writes the row, over one of the same key.
    ///
    /// # Errors
    /// The host refuses it, such as a value of a wrong type.
    pub fn put(&self, row: &T) -> Result {
        in_hand::rows::<T>()?.borrow_mut().put(row)
    }

    /// Removes the row of this key. That there is none is no error.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn delete<K>(&self, key: &K) -> Result
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        in_hand::rows::<T>()?.borrow_mut().delete(key.to_owned())
    }

    /// Changes the row of this key, which must be there.
    ///
    /// # Errors
    /// There is no such row, or the host refuses it.
    pub fn update<K, R>(&self, key: &K, change: impl FnOnce(&mut T) -> R) -> Result<R>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        let missing = || {
            let key = key.key_values();
            Failure::retry(
                0,
                format!("table {} has no row with the key {key:?}", T::TABLE),
            )
        };
        self.with(key, |row| match row {
            Some(row) => Ok(change(row)),
            None => Err(missing()),
        })
    }

    /// Changes the row of this key, or a new one that has this key and else is `T::default()`.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn change<K, R>(&self, key: &K, change: impl FnOnce(&mut T) -> R) -> Result<R>
    where
        T: Default,
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        self.with(key, |row| {
            let row = row.get_or_insert_with(|| {
                let mut row = T::default();
                row.set_key(key.to_owned());
                row
            });
            Ok(change(row))
        })
    }

    /// Changes the row that has the key of `new`, or `new` itself when there is none.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn upsert<R>(&self, new: T, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let key = new.key();
        self.with(&key, |row| Ok(change(row.get_or_insert(new))))
    }

    /// Has the row of this key changed. Rows are not borrowed meanwhile: the change may use tables itself.
    fn with<K, R>(&self, key: &K, change: impl FnOnce(&mut Option<T>) -> Result<R>) -> Result<R>
    where
        T::Key: Borrow<K>,
        K: KeyValues + Hash + Eq + ToOwned<Owned = T::Key> + ?Sized,
    {
        let rows = in_hand::rows::<T>()?;
        let mut lent = rows.borrow_mut().lend::<K>(key)?;
        let answer = change(&mut lent.row);
        rows.borrow_mut().give_back::<K>(key, lent)?;
        answer
    }
}

/// What a prefetch function returns: one key, none, or several.
pub trait Keys<K> {
    /// The keys one by one.
    fn into_keys(self) -> impl Iterator<Item = K>;
}

impl<K> Keys<K> for K {
    fn into_keys(self) -> impl Iterator<Item = K> {
        [self].into_iter()
    }
}

impl<K> Keys<K> for Option<K> {
    fn into_keys(self) -> impl Iterator<Item = K> {
        self.into_iter()
    }
}

impl<K> Keys<K> for Vec<K> {
    fn into_keys(self) -> impl Iterator<Item = K> {
        self.into_iter()
    }
}

impl<K> Keys<K> for Result<K> {
    fn into_keys(self) -> impl Iterator<Item = K> {
        self.into_iter()
    }
}

/// Takes these rows in hand in one call, so that `get` finds them there.
pub(crate) fn prefetch<T: TableRow>(keys: Vec<T::Key>) -> Result {
    in_hand::rows::<T>()?.borrow_mut().fetch(keys)
}
