//! One table of a guest: how its rows are read by key and written in bulk, every column as `text[]` with a cast.
//!
//! It all runs in the session of a guest, where a plain operator is one of the guest's schema if that fits better.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::cache::{Cache, Known};
use crate::store::statement::{self, Column, MAX_QUERY_BYTES};
use crate::store::value::{self, Value};
use crate::store::{GuestError, quote};

/// Types whose text form is canonical: equal keys have equal text. (1.0 and 1.00 are one numeric key with two texts.)
const KEY_TYPES: [&str; 10] = [
    "text",
    "character varying",
    "smallint",
    "integer",
    "bigint",
    "uuid",
    "date",
    "boolean",
    "timestamp with time zone",
    "timestamp without time zone",
];

/// A table of the guest, and the rows of it that the batch has read or written.
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Places of the key's columns in `columns`, in the key's order.
    pub key: Vec<usize>,
    pub cache: Cache,
}

impl Table {
    pub async fn load(
        connection: &mut PgConnection,
        schema: &str,
        name: &str,
    ) -> Result<Table, GuestError> {
        let rows = sqlx::query(include_str!("../sql/describe_table.sql"))
            .bind(schema)
            .bind(name)
            .fetch_all(connection)
            .await?;
        let (mut columns, mut key) = (Vec::new(), Vec::new());
        for row in &rows {
            if row.try_get::<bool, _>("generated")? {
                continue;
            }
            let place: i64 = row.try_get("key_place")?;
            if place > 0 {
                key.push((place, columns.len()));
            }
            columns.push(Column {
                name: row.try_get("name")?,
                type_name: row.try_get("type_name")?,
            });
        }
        if columns.is_empty() {
            return Err(GuestError::new(
                "bad-parameter",
                format!("the subscription has no table {name}; make it in `setup`"),
            ));
        }
        key.sort_unstable();
        let key: Vec<usize> = key.into_iter().map(|(_, place)| place).collect();
        if key.is_empty() {
            return Err(GuestError::new(
                "bad-parameter",
                format!("table {name} has no primary key; rows are addressed by it"),
            ));
        }
        if let Some(column) = key
            .iter()
            .map(|place| &columns[*place])
            .find(|column| !KEY_TYPES.contains(&column.type_name.as_str()))
        {
            return Err(GuestError::new(
                "unsupported-type",
                format!(
                    "the key column {} of table {name} is {}; a key of rows is one of: {}",
                    column.name,
                    column.type_name,
                    KEY_TYPES.join(", ")
                ),
            ));
        }
        Ok(Table {
            name: name.to_owned(),
            columns,
            key,
            cache: Cache::default(),
        })
    }

    /// A key as one text: keys are equal when their texts are.
    pub fn key_text(&self, key: &[Value]) -> Result<String, GuestError> {
        if key.len() != self.key.len() {
            return Err(GuestError::new(
                "bad-parameter",
                format!(
                    "the key of table {} has {} columns, {} values were sent",
                    self.name,
                    self.key.len(),
                    key.len()
                ),
            ));
        }
        if let [value] = key {
            return self.key_part(value);
        }
        let mut whole = String::new();
        for value in key {
            let part = self.key_part(value)?;
            // With its length, or ("a", "bc") and ("ab", "c") would be one key.
            whole.push_str(&part.len().to_string());
            whole.push(':');
            whole.push_str(&part);
        }
        Ok(whole)
    }

    /// The text of the key of a row, which has to have all columns.
    pub fn key_text_of_row(&self, row: &[Value]) -> Result<String, GuestError> {
        if row.len() != self.columns.len() {
            return Err(GuestError::new(
                "bad-parameter",
                format!(
                    "table {} has {} columns, the row has {}",
                    self.name,
                    self.columns.len(),
                    row.len()
                ),
            ));
        }
        if let [place] = self.key[..] {
            return self.key_part(&row[place]);
        }
        let key: Vec<Value> = self.key.iter().map(|place| row[*place].clone()).collect();
        self.key_text(&key)
    }

    fn key_part(&self, value: &Value) -> Result<String, GuestError> {
        self.text(value)?.ok_or_else(|| {
            GuestError::new(
                "bad-parameter",
                format!("a key of table {} is null", self.name),
            )
        })
    }

    /// Whether reading a row that was written like this gives the same values.
    pub fn comes_back(&self, row: &[Value]) -> bool {
        row.iter()
            .zip(&self.columns)
            .all(|(value, column)| value.comes_back_from(&column.type_name))
    }

    fn text(&self, value: &Value) -> Result<Option<String>, GuestError> {
        value::to_text(value).map_err(|message| {
            GuestError::new("bad-parameter", format!("table {}: {message}", self.name))
        })
    }

    /// Whether the rows of all these keys are known.
    pub fn knows(&self, keys: &[Vec<Value>]) -> bool {
        let known = |key: &Vec<Value>| {
            let name = self.key_text(key);
            name.is_ok_and(|name| self.cache.get(&name).is_some())
        };
        keys.iter().all(known)
    }

    pub async fn fetch(
        &mut self,
        connection: &mut PgConnection,
        schema: &str,
        keys: &[Vec<Value>],
        names: &[String],
        missing: &[usize],
    ) -> Result<(), GuestError> {
        let selected: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                value::select_as_text(&format!("t.{}", quote(&column.name)), &column.type_name)
            })
            .collect();
        let sql = format!(
            "SELECT u.n, {} FROM ROWS FROM ({}) WITH ORDINALITY AS u({}, n) JOIN {}.{} t ON {}",
            selected.join(", "),
            unnests(1, self.key.len()),
            aliases(self.key.len()),
            quote(schema),
            quote(&self.name),
            self.matched()
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        let column = |place: usize| -> Result<Vec<Option<String>>, GuestError> {
            missing
                .iter()
                .map(|index| self.text(&keys[*index][place]))
                .collect()
        };
        for values in (0..self.key.len()).map(column) {
            query = query.bind(values?);
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut stream = query.fetch(connection);
        while let Some(row) = stream.try_next().await? {
            bytes += statement::size_bytes(&row)?;
            if bytes > MAX_QUERY_BYTES {
                return Err(GuestError::new(
                    "too-large",
                    format!(
                        "the rows asked for have more than {MAX_QUERY_BYTES} bytes (query-bytes, which is fixed); ask for fewer at a time"
                    ),
                ));
            }
            found.push(row);
        }
        for index in missing {
            let (name, key) = (names[*index].clone(), keys[*index].clone());
            self.cache.learn(name, Known::Absent(key));
        }
        for row in found {
            let ordinal: i64 = row.try_get(0)?;
            let name = names[missing[ordinal as usize - 1]].clone();
            self.cache.learn(name, Known::Present(self.read(&row)?));
        }
        Ok(())
    }

    fn read(&self, found: &sqlx::postgres::PgRow) -> Result<Vec<Value>, GuestError> {
        self.columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let text: Option<&str> = found.try_get(index + 1)?;
                value::from_text(text, &column.type_name)
                    .map_err(|message| GuestError::new("unsupported-type", message))
            })
            .collect()
    }

    /// Whether rows are to be deleted.
    pub fn deletes(&self) -> bool {
        !self.cache.changes().deleted.is_empty()
    }

    /// The rows that are to be written, as one `text[]` a column; no column: there are none.
    pub fn written(&self) -> Result<Vec<Vec<Option<String>>>, GuestError> {
        let written = self.cache.changes().written;
        if written.is_empty() {
            return Ok(Vec::new());
        }
        self.lists(self.columns.len(), &written)
    }

    /// Writes what is buffered. Whether rows were deleted.
    pub async fn flush(
        &mut self,
        connection: &mut PgConnection,
        schema: &str,
    ) -> Result<bool, GuestError> {
        let changes = self.cache.changes();
        let deleted = !changes.deleted.is_empty();
        if deleted {
            let lists = self.lists(self.key.len(), &changes.deleted)?;
            let delete = self.writing(self.delete(schema), lists);
            delete.run(connection).await?;
        }
        if let Some(upsert) = self.upserting(schema)? {
            upsert.run(connection).await?;
        }
        self.cache.settle();
        Ok(deleted)
    }

    /// Writes the rows that are to be written; `None`: there are none.
    pub fn upserting(&self, schema: &str) -> Result<Option<Writing>, GuestError> {
        let lists = self.written()?;
        if lists.is_empty() {
            return Ok(None);
        }
        let sql = self.upsert(schema, &in_turn(lists.len()));
        Ok(Some(self.writing(sql, lists)))
    }

    fn writing(&self, sql: String, lists: Vec<Vec<Option<String>>>) -> Writing {
        Writing {
            table: self.name.clone(),
            sql,
            lists,
        }
    }

    fn delete(&self, schema: &str) -> String {
        format!(
            "DELETE FROM {}.{} t USING {} WHERE {}",
            quote(schema),
            quote(&self.name),
            from_lists(1, self.key.len()),
            self.matched()
        )
    }

    /// The condition that a row of `t` has the key in the columns of `u`.
    fn matched(&self) -> String {
        let same = |(index, place): (usize, &usize)| {
            let column = &self.columns[*place];
            let name = quote(&column.name);
            format!(
                "t.{name} OPERATOR(pg_catalog.=) u.c{index}::{}",
                column.type_name
            )
        };
        let all: Vec<String> = self.key.iter().enumerate().map(same).collect();
        all.join(" AND ")
    }

    /// Writes the rows `u` of this source, each where its key is or as a new one.
    pub fn upsert(&self, schema: &str, source: &str) -> String {
        let quoted: Vec<String> = self
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        let casts: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| format!("u.c{index}::{}", column.type_name))
            .collect();
        let key: Vec<&str> = self
            .key
            .iter()
            .map(|place| quoted[*place].as_str())
            .collect();
        let updates: Vec<String> = quoted
            .iter()
            .enumerate()
            .filter(|(place, _)| !self.key.contains(place))
            .map(|(_, column)| format!("{column} = excluded.{column}"))
            .collect();
        let action = if updates.is_empty() {
            "DO NOTHING".to_owned()
        } else {
            format!("DO UPDATE SET {}", updates.join(", "))
        };
        format!(
            "INSERT INTO {}.{} ({}) SELECT {} FROM {source} ON CONFLICT ({}) {action}",
            quote(schema),
            quote(&self.name),
            quoted.join(", "),
            casts.join(", "),
            key.join(", ")
        )
    }

    fn lists(
        &self,
        width: usize,
        rows: &[&[Value]],
    ) -> Result<Vec<Vec<Option<String>>>, GuestError> {
        let list = |place: usize| rows.iter().map(|row| self.text(&row[place])).collect();
        (0..width).map(list).collect()
    }
}

/// A statement that writes rows of a table.
pub(in crate::store) struct Writing {
    table: String,
    sql: String,
    lists: Vec<Vec<Option<String>>>,
}

impl Writing {
    /// Sends the lists as one `text[]` a column.
    pub async fn run(self, connection: &mut PgConnection) -> Result<(), GuestError> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql));
        for list in self.lists {
            query = query.bind(list);
        }
        query.execute(connection).await.map_err(|error| {
            let error = GuestError::from(error);
            GuestError {
                message: format!("writing rows of table {}: {}", self.table, error.message),
                ..error
            }
        })?;
        Ok(())
    }
}

/// The rows `u` of so many lists, which are parameters from `first` on.
pub(super) fn from_lists(first: usize, count: usize) -> String {
    format!(
        "ROWS FROM ({}) AS u({})",
        unnests(first, count),
        aliases(count)
    )
}

/// The one row `u` of so many parameters from `first` on.
pub(super) fn from_one(first: usize, count: usize) -> String {
    let value = |index| format!("${}::pg_catalog.text", first + index);
    let values: Vec<String> = (0..count).map(value).collect();
    format!("(SELECT {}) AS u({})", values.join(", "), aliases(count))
}

/// The same for an INSERT of many rows: they are not kept in a place of their own before the first is inserted.
fn in_turn(count: usize) -> String {
    let list = |index| {
        format!(
            "pg_catalog.unnest(${}::pg_catalog.text[]) AS c{index}",
            index + 1
        )
    };
    let lists: Vec<String> = (0..count).map(list).collect();
    format!("(SELECT {}) AS u", lists.join(", "))
}

/// The columns of `u`.
fn aliases(count: usize) -> String {
    (0..count)
        .map(|index| format!("c{index}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn unnests(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|number| format!("pg_catalog.unnest(${number}::pg_catalog.text[])"))
        .collect::<Vec<_>>()
        .join(", ")
}
