//! One table of a guest: how its rows are read by key and written in bulk, every column as `text[]` with a cast.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::MAX_BUFFERED_ROWS;
use crate::store::statement::Column;
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
    pub cache: HashMap<Vec<String>, Entry>,
}

/// A row as the batch knows it.
pub(super) struct Entry {
    /// `None`: there is no such row.
    pub row: Option<Vec<Value>>,
    pub key: Vec<Value>,
    /// Not written yet.
    pub dirty: bool,
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
            cache: HashMap::new(),
        })
    }

    pub fn key_text(&self, key: &[Value]) -> Result<Vec<String>, GuestError> {
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
        key.iter()
            .map(|value| {
                self.text(value)?.ok_or_else(|| {
                    GuestError::new(
                        "bad-parameter",
                        format!("a key of table {} is null", self.name),
                    )
                })
            })
            .collect()
    }

    fn text(&self, value: &Value) -> Result<Option<String>, GuestError> {
        value::to_text(value).map_err(|message| {
            GuestError::new("bad-parameter", format!("table {}: {message}", self.name))
        })
    }

    pub async fn fetch(
        &mut self,
        connection: &mut PgConnection,
        schema: &str,
        keys: &[Vec<Value>],
        names: &[Vec<String>],
        missing: &[usize],
    ) -> Result<(), GuestError> {
        let selected: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                value::select_as_text(&format!("t.{}", quote(&column.name)), &column.type_name)
            })
            .collect();
        let matched: Vec<String> = self
            .key
            .iter()
            .enumerate()
            .map(|(index, place)| {
                let column = &self.columns[*place];
                format!(
                    "t.{} = u.c{index}::{}",
                    quote(&column.name),
                    column.type_name
                )
            })
            .collect();
        let sql = format!(
            "SELECT u.n, {} FROM ROWS FROM ({}) WITH ORDINALITY AS u({}, n) JOIN {}.{} t ON {}",
            selected.join(", "),
            unnests(self.key.len()),
            (0..self.key.len())
                .map(|index| format!("c{index}"))
                .collect::<Vec<_>>()
                .join(", "),
            quote(schema),
            quote(&self.name),
            matched.join(" AND ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for place in 0..self.key.len() {
            let column = missing.iter().map(|index| names[*index].get(place));
            query = query.bind(column.map(Option::<&String>::cloned).collect::<Vec<_>>());
        }
        for index in missing {
            self.cache.insert(
                names[*index].clone(),
                Entry {
                    row: None,
                    key: keys[*index].clone(),
                    dirty: false,
                },
            );
        }
        for found in query.fetch_all(connection).await? {
            let ordinal: i64 = found.try_get(0)?;
            let row = self.read(&found)?;
            if let Some(entry) = self.cache.get_mut(&names[missing[ordinal as usize - 1]]) {
                entry.row = Some(row);
            }
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

    pub async fn flush(
        &mut self,
        connection: &mut PgConnection,
        schema: &str,
    ) -> Result<(), GuestError> {
        let deleted: Vec<&Vec<Value>> = self
            .cache
            .values()
            .filter(|entry| entry.dirty && entry.row.is_none())
            .map(|entry| &entry.key)
            .collect();
        if !deleted.is_empty() {
            let key_columns: Vec<&Column> =
                self.key.iter().map(|place| &self.columns[*place]).collect();
            let matched: Vec<String> = key_columns
                .iter()
                .enumerate()
                .map(|(index, column)| {
                    format!(
                        "t.{} = u.c{index}::{}",
                        quote(&column.name),
                        column.type_name
                    )
                })
                .collect();
            let sql = format!(
                "DELETE FROM {}.{} t USING ROWS FROM ({}) AS u({}) WHERE {}",
                quote(schema),
                quote(&self.name),
                unnests(self.key.len()),
                (0..self.key.len())
                    .map(|index| format!("c{index}"))
                    .collect::<Vec<_>>()
                    .join(", "),
                matched.join(" AND ")
            );
            self.run(
                connection,
                sql,
                self.key.len(),
                &deleted
                    .iter()
                    .map(|key| key.iter().collect())
                    .collect::<Vec<_>>(),
            )
            .await?;
        }
        let written: Vec<Vec<&Value>> = self
            .cache
            .values()
            .filter(|entry| entry.dirty)
            .filter_map(|entry| entry.row.as_ref())
            .map(|row| row.iter().collect())
            .collect();
        if !written.is_empty() {
            self.run(
                connection,
                self.upsert(schema),
                self.columns.len(),
                &written,
            )
            .await?;
        }
        self.cache
            .values_mut()
            .for_each(|entry| entry.dirty = false);
        if self.cache.len() > MAX_BUFFERED_ROWS {
            self.cache.clear();
        }
        Ok(())
    }

    fn upsert(&self, schema: &str) -> String {
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
            "INSERT INTO {}.{} ({}) SELECT {} FROM ROWS FROM ({}) AS u({}) ON CONFLICT ({}) {action}",
            quote(schema),
            quote(&self.name),
            quoted.join(", "),
            casts.join(", "),
            unnests(self.columns.len()),
            (0..self.columns.len())
                .map(|index| format!("c{index}"))
                .collect::<Vec<_>>()
                .join(", "),
            key.join(", ")
        )
    }

    /// Sends the lists as one `text[]` a column.
    async fn run(
        &self,
        connection: &mut PgConnection,
        sql: String,
        width: usize,
        rows: &[Vec<&Value>],
    ) -> Result<(), GuestError> {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for place in 0..width {
            query = query.bind(
                rows.iter()
                    .map(|row| self.text(row[place]))
                    .collect::<Result<Vec<Option<String>>, _>>()?,
            );
        }
        query.execute(connection).await.map_err(|error| {
            let error = GuestError::from(error);
            GuestError {
                message: format!("writing rows of table {}: {}", self.name, error.message),
                ..error
            }
        })?;
        Ok(())
    }
}

fn unnests(count: usize) -> String {
    (1..=count)
        .map(|number| format!("pg_catalog.unnest(${number}::pg_catalog.text[])"))
        .collect::<Vec<_>>()
        .join(", ")
}
