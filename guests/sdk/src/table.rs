//! Typed access to a table by primary key, over the host's buffered rows.

use crate::bindings::projectionist::rows::tables;
use crate::extract::Extract;
use crate::failure::{Failure, Result};
use crate::row::{KeyValues, TableRow};
use crate::sql::Error;
use std::marker::PhantomData;

/// A table of this guest, by primary key. Reads see the writes of this batch; writes are kept by the host and reach
/// PostgreSQL in bulk, so a row that changes a hundred times in a batch is written once.
///
/// `K` is the key or its borrowed form: `str` for a `String`. The key of several fields is a tuple of them.
#[derive(Debug)]
pub struct Table<T>(PhantomData<T>);

impl<S, T: TableRow> Extract<S> for Table<T> {
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
        K: KeyValues + ToOwned<Owned = T::Key> + ?Sized,
    {
        let rows = tables::get(T::TABLE, &[key.key_values()]).map_err(Error::from)?;
        match rows.into_iter().next().flatten() {
            Some(values) => Ok(Some(T::from_values(values)?)),
            None => Ok(None),
        }
    }

    /// Writes the row, over one of the same key.
    ///
    /// # Errors
    /// The host refuses it, such as a value of a wrong type.
    pub fn put(&self, row: &T) -> Result {
        Ok(tables::put(T::TABLE, &[row.to_values()]).map_err(Error::from)?)
    }

    /// Removes the row of this key. That there is none is no error.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn delete<K>(&self, key: &K) -> Result
    where
        K: KeyValues + ToOwned<Owned = T::Key> + ?Sized,
    {
        Ok(tables::delete(T::TABLE, &[key.key_values()]).map_err(Error::from)?)
    }

    /// Changes the row of this key, which must be there.
    ///
    /// # Errors
    /// There is no such row, or the host refuses it.
    pub fn update<K, R>(&self, key: &K, change: impl FnOnce(&mut T) -> R) -> Result<R>
    where
        K: KeyValues + ToOwned<Owned = T::Key> + ?Sized,
    {
        let mut row = self.get(key)?.ok_or_else(|| {
            Failure::retry(
                0,
                format!(
                    "table {} has no row with the key {:?}",
                    T::TABLE,
                    key.key_values()
                ),
            )
        })?;
        let answer = change(&mut row);
        self.put(&row)?;
        Ok(answer)
    }

    /// Changes the row of this key, or a new one that has this key and else is `T::default()`.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn change<K, R>(&self, key: &K, change: impl FnOnce(&mut T) -> R) -> Result<R>
    where
        T: Default,
        K: KeyValues + ToOwned<Owned = T::Key> + ?Sized,
    {
        let mut row = match self.get(key)? {
            Some(row) => row,
            None => {
                let mut row = T::default();
                row.set_key(key.to_owned());
                row
            }
        };
        let answer = change(&mut row);
        self.put(&row)?;
        Ok(answer)
    }

    /// Changes the row that has the key of `new`, or `new` itself when there is none.
    ///
    /// # Errors
    /// The host refuses it.
    pub fn upsert<R>(&self, new: T, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let found = tables::get(T::TABLE, &[new.key().key_values()]).map_err(Error::from)?;
        let mut row = match found.into_iter().next().flatten() {
            Some(values) => T::from_values(values)?,
            None => new,
        };
        let answer = change(&mut row);
        self.put(&row)?;
        Ok(answer)
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

/// Has the host read these rows in one round trip, so that `get` finds them at hand.
pub(crate) fn prefetch<T: TableRow>(mut keys: Vec<T::Key>) -> Result {
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<_> = keys.iter().map(KeyValues::key_values).collect();
    tables::get(T::TABLE, &keys).map_err(Error::from)?;
    Ok(())
}
