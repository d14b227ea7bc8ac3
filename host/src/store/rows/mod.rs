//! Rows of a guest's own tables by primary key: reads see the batch's writes, writes are buffered and flushed in bulk.
//!
//! What a batch knows of rows stays true in the next one if nobody else has written meanwhile, so it may be
//! [kept](KeptRows) from batch to batch.

mod cache;
mod kept;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::PgConnection;

use super::GuestError;
use super::statement::Column;
use super::value::Value;
use cache::Known;
pub use kept::KeptRows;
use table::Table;
pub(super) use table::Writing;

/// Most rows that are held for one batch; past it the buffer is flushed early.
pub const MAX_BUFFERED_ROWS: usize = 200_000;

/// Most bytes of rows that are held for one batch; past it the buffer is flushed early.
pub const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;

/// The tables that a batch, or one before it, has touched.
pub(super) struct Rows {
    schema: String,
    tables: Vec<Table>,
    /// The last statement of [`Rows::writing`], and what it was for: mostly it is the same again.
    composed: Option<(Vec<Place>, Arc<str>)>,
}

/// The statement that writes all rows, and its parameters.
pub(super) struct WritingAll {
    pub sql: Arc<str>,
    pub columns: Vec<Written>,
}

/// One column of what is written to a table.
pub(super) enum Written {
    /// Of one row. A list of one takes the server half as long again as the row itself.
    One(Option<String>),
    Many(Vec<Option<String>>),
}

/// A table in a statement that writes to several.
#[derive(PartialEq, Eq)]
struct Place {
    /// Of the table.
    number: usize,
    /// Of the first of its parameters.
    first: usize,
    is_one_row: bool,
}

impl Rows {
    pub fn new(schema: &str) -> Rows {
        Rows {
            schema: schema.to_owned(),
            tables: Vec::new(),
            composed: None,
        }
    }

    /// Columns in the order used by rows, and the places of the key's columns.
    pub async fn describe(
        &mut self,
        connection: Option<&mut PgConnection>,
        table: &str,
    ) -> Result<(Vec<Column>, Vec<u32>), GuestError> {
        let table = self.table(connection, table).await?;
        Ok((
            table.columns.clone(),
            table.key.iter().map(|place| *place as u32).collect(),
        ))
    }

    /// One answer per key, in order; one round trip for all keys that are not known yet.
    pub async fn get(
        &mut self,
        connection: Option<&mut PgConnection>,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Option<Vec<Value>>>, GuestError> {
        let schema = self.schema.clone();
        let mut connection = connection;
        let table = self.table(connection.as_deref_mut(), table).await?;
        let names = keys
            .iter()
            .map(|key| table.key_text(key))
            .collect::<Result<Vec<_>, _>>()?;
        let mut asked: HashSet<&String> = HashSet::new();
        let missing: Vec<usize> = (0..names.len())
            .filter(|index| table.cache.get(&names[*index]).is_none())
            .filter(|index| asked.insert(&names[*index]))
            .collect();
        if !missing.is_empty() {
            table
                .fetch(session(connection)?, &schema, &keys, &names, &missing)
                .await?;
        }
        Ok(names
            .iter()
            .map(|name| table.cache.get(name).flatten().cloned())
            .collect())
    }

    pub async fn put(
        &mut self,
        connection: Option<&mut PgConnection>,
        table: &str,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), GuestError> {
        let table = self.table(connection, table).await?;
        for row in rows {
            let name = table.key_text_of_row(&row)?;
            let exact = table.comes_back(&row);
            table.cache.change(name, Known::Present(row), exact);
        }
        Ok(())
    }

    pub async fn delete(
        &mut self,
        connection: Option<&mut PgConnection>,
        table: &str,
        keys: Vec<Vec<Value>>,
    ) -> Result<(), GuestError> {
        let table = self.table(connection, table).await?;
        for key in keys {
            let name = table.key_text(&key)?;
            table.cache.change(name, Known::Absent(key), true);
        }
        Ok(())
    }

    /// Whether the buffer is so full that it should go out before the batch ends.
    pub fn is_full(&self) -> bool {
        let rows: usize = self.tables.iter().map(|table| table.cache.len()).sum();
        rows > MAX_BUFFERED_ROWS || self.bytes() > MAX_BUFFERED_BYTES
    }

    /// What is held, about.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.cache.bytes()).sum()
    }

    /// Writes what is buffered: one DELETE and one upsert a table. What was read stays known.
    pub async fn flush(&mut self, connection: &mut PgConnection) -> Result<(), GuestError> {
        let mut deleted = false;
        for table in &mut self.tables {
            deleted |= table.flush(connection, &self.schema).await?;
        }
        // A foreign key may delete or empty rows of another table with those.
        if self.is_full() || (deleted && self.tables.len() > 1) {
            self.forget();
        }
        Ok(())
    }

    /// Whether one statement can write what is buffered. Rows that are deleted may make room for others, so they go before those.
    pub fn fit_one_statement(&self) -> bool {
        !self.is_full() && !self.tables.iter().any(Table::deletes)
    }

    /// One statement that writes what is buffered, and only if `condition` has a row, with its parameters from `first` on.
    pub fn writing(
        &mut self,
        condition: &str,
        first: usize,
        compose: fn(&[String]) -> String,
    ) -> Result<WritingAll, GuestError> {
        let (mut places, mut columns) = (Vec::new(), Vec::new());
        for (number, table) in self.tables.iter().enumerate() {
            let lists = table.written()?;
            if let Some(list) = lists.first() {
                let is_one_row = list.len() == 1;
                let first = first + columns.len();
                places.push(Place {
                    number,
                    first,
                    is_one_row,
                });
                columns.extend(lists.into_iter().map(Written::of));
            }
        }
        let composed = self.composed.take().filter(|(of, _)| *of == places);
        let (_, sql) = self.composed.insert(composed.unwrap_or_else(|| {
            let upsert = |place: &Place| {
                let table = &self.tables[place.number];
                let source = match place.is_one_row {
                    true => table::from_one(place.first, table.columns.len()),
                    false => table::from_lists(place.first, table.columns.len()),
                };
                table.upsert(&self.schema, &format!("{condition}, {source}"))
            };
            let upserts: Vec<String> = places.iter().map(upsert).collect();
            (places, compose(&upserts).into())
        }));
        let sql = Arc::clone(sql);
        Ok(WritingAll { sql, columns })
    }

    /// The statements that write what is buffered, for rows that [fit](Rows::fit_one_statement).
    pub fn upserting(&self) -> Result<Vec<Writing>, GuestError> {
        let upserting = |table: &Table| table.upserting(&self.schema).transpose();
        self.tables.iter().filter_map(upserting).collect()
    }

    /// Whether a table and its rows of these keys are known, so that nobody has to be asked.
    pub fn know(&self, table: &str, keys: &[Vec<Value>]) -> bool {
        let known = self.tables.iter().find(|known| known.name == table);
        known.is_some_and(|known| known.knows(keys))
    }

    /// What was buffered has been written. Whether all of it is known as the server has it.
    pub fn settle(&mut self) -> bool {
        let settle = |knows_all, table: &mut Table| table.cache.settle() && knows_all;
        self.tables.iter_mut().fold(true, settle)
    }

    /// Forgets everything that was read: a statement of the guest may have changed it.
    pub fn forget(&mut self) {
        self.tables.iter_mut().for_each(|table| table.cache.clear());
    }

    async fn table(
        &mut self,
        connection: Option<&mut PgConnection>,
        name: &str,
    ) -> Result<&mut Table, GuestError> {
        let place = match self.tables.iter().position(|table| table.name == name) {
            Some(place) => place,
            None => {
                self.tables
                    .push(Table::load(session(connection)?, &self.schema, name).await?);
                self.tables.len() - 1
            }
        };
        Ok(&mut self.tables[place])
    }
}

impl Written {
    fn of(mut list: Vec<Option<String>>) -> Written {
        match (list.pop(), list.is_empty()) {
            (Some(only), true) => Written::One(only),
            (last, _) => {
                list.extend(last);
                Written::Many(list)
            }
        }
    }
}

/// Who is asked for what is not known.
fn session(connection: Option<&mut PgConnection>) -> Result<&mut PgConnection, GuestError> {
    connection
        .ok_or_else(|| GuestError::new("unavailable", "there is no session yet to read rows in"))
}
