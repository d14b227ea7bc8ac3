//! `projectionist:rows/tables`: rows by primary key; writes are buffered and go out in bulk.

use super::convert::{from_guest, to_guest};
use super::size;
use crate::guest::bindings::projectionist::rows::tables::Host;
use crate::guest::bindings::projectionist::sql::types::{Column, Error, Value};
use crate::guest::state::State;

impl Host for State {
    async fn describe(
        &mut self,
        table: String,
    ) -> wasmtime::Result<Result<(Vec<Column>, Vec<u32>), Error>> {
        let result = self.batch()?.describe_rows(&table).await;
        Ok(result
            .map(|(columns, key)| (columns.into_iter().map(Into::into).collect(), key))
            .map_err(Into::into))
    }

    async fn get(
        &mut self,
        table: String,
        keys: Vec<Vec<Value>>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<Value>>>, Error>> {
        self.allowance.sent(size::of_rows(&keys))?;
        let keys = keys.into_iter().map(from_guest).collect();
        let result = self.batch()?.get_rows(&table, keys).await;
        let rows: Vec<Option<Vec<Value>>> = match result {
            Ok(rows) => rows.into_iter().map(|row| row.map(to_guest)).collect(),
            Err(error) => return Ok(Err(error.into())),
        };
        let bytes = rows.iter().flatten().map(|row| size::of_values(row)).sum();
        self.allowance.received(bytes)?;
        Ok(Ok(rows))
    }

    async fn put(
        &mut self,
        table: String,
        rows: Vec<Vec<Value>>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.allowance.sent(size::of_rows(&rows))?;
        let rows = rows.into_iter().map(from_guest).collect();
        Ok(self
            .batch()?
            .put_rows(&table, rows)
            .await
            .map_err(Into::into))
    }

    async fn delete(
        &mut self,
        table: String,
        keys: Vec<Vec<Value>>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.allowance.sent(size::of_rows(&keys))?;
        let keys = keys.into_iter().map(from_guest).collect();
        Ok(self
            .batch()?
            .delete_rows(&table, keys)
            .await
            .map_err(Into::into))
    }
}
