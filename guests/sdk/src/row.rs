//! Rows and the structs that stand for them.

use std::hash::Hash;

use crate::value::{FromValue, ToValue, Value, ValueError};

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its name.
    pub name: &'static str,
    /// Its type in PostgreSQL.
    pub type_name: &'static str,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it is part of the primary key.
    pub key: bool,
    /// Whether it has an index of its own.
    pub indexed: bool,
}

/// A struct that is a row of a table of this guest. Derive it with `#[derive(Table)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row of a table",
    note = "put #[derive(Table)] and #[table(name = \"..\")] on it, and #[key] on its key fields"
)]
pub trait TableRow: Sized + 'static {
    /// The table's name, in the subscription's own schema.
    const TABLE: &'static str;
    /// Its columns in the order of the fields, which is the order of the table's columns.
    const COLUMNS: &'static [ColumnDef];
    /// Percent of a page that new rows fill, from 10 to 100; `None`: all of it, as PostgreSQL has it. The rest is room for changed rows.
    const FILLFACTOR: Option<u8> = None;
    /// The type of the key field, or a tuple of the key fields' types. `Ord` keeps out what PostgreSQL and Rust compare
    /// differently, such as floats and numerics.
    type Key: KeyValues + Clone + Ord + Hash;

    /// The row's key.
    fn key(&self) -> Self::Key;
    /// Changes the key fields.
    fn set_key(&mut self, key: Self::Key);
    /// The values of all columns.
    fn to_values(&self) -> Vec<Value>;
    /// From the values of all columns.
    ///
    /// # Errors
    /// A value is of another type, or there are too few.
    fn from_values(values: Vec<Value>) -> Result<Self, ValueError>;
}

/// A primary key, or the borrowed form of one.
pub trait KeyValues {
    /// The values of the key columns, in their order.
    fn key_values(&self) -> Vec<Value>;
}

impl<T: ToValue + ?Sized> KeyValues for T {
    fn key_values(&self) -> Vec<Value> {
        vec![self.to_value()]
    }
}

/// One row of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    pub(crate) columns: &'a [crate::sql::Column],
    pub(crate) values: Vec<Value>,
}

impl Row<'_> {
    /// Takes the value of the column at `index`, from 0. A value can be taken once.
    ///
    /// # Errors
    /// There is no such column, or it is of another type.
    pub fn take<T: FromValue>(&mut self, index: usize) -> Result<T, ValueError> {
        let value = self
            .values
            .get_mut(index)
            .ok_or_else(|| ValueError::missing(format!("number {}", index + 1)))?;
        let value = std::mem::replace(value, Value::Null);
        T::from_value(value).map_err(|error| match self.columns.get(index) {
            Some(column) => error.in_column(&column.name),
            None => error,
        })
    }

    /// Takes the value of the column called `name`. A value can be taken once.
    ///
    /// # Errors
    /// There is no such column, or it is of another type.
    pub fn take_named<T: FromValue>(&mut self, name: &str) -> Result<T, ValueError> {
        let index = self.columns.iter().position(|column| column.name == name);
        self.take(index.ok_or_else(|| ValueError::missing(name))?)
    }
}

/// What a row of a query can be read as: a tuple by position, a `#[derive(Table)]` struct by names.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// A column is missing or of another type.
    fn from_row(row: Row<'_>) -> Result<Self, ValueError>;
}

macro_rules! tuple {
    ($($type:ident $index:tt)*) => {
        impl<$($type: ToValue),*> KeyValues for ($($type,)*) {
            fn key_values(&self) -> Vec<Value> {
                vec![$(self.$index.to_value()),*]
            }
        }

        impl<$($type: FromValue),*> FromRow for ($($type,)*) {
            fn from_row(mut row: Row<'_>) -> Result<Self, ValueError> {
                Ok(($(row.take::<$type>($index)?,)*))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0 B 1);
tuple!(A 0 B 1 C 2);
tuple!(A 0 B 1 C 2 D 3);
tuple!(A 0 B 1 C 2 D 3 E 4);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
