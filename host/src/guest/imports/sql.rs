//! `projectionist:sql/client`: one statement a call, inside the batch's transaction.

use super::convert::from_guest;
use crate::guest::bindings::projectionist::sql::client::Host;
use crate::guest::bindings::projectionist::sql::types::{Error, RowSet, Value};
use crate::guest::state::State;

impl Host for State {
    async fn query(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        let result = self.batch()?.query(&statement, &from_guest(params)).await;
        Ok(result.map(Into::into).map_err(Into::into))
    }

    async fn execute(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let result = self.batch()?.execute(&statement, &from_guest(params)).await;
        Ok(result.map_err(Into::into))
    }

    async fn execute_many(
        &mut self,
        statement: String,
        params: Vec<Vec<Value>>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let lists: Vec<_> = params.into_iter().map(from_guest).collect();
        let result = self.batch()?.execute_many(&statement, &lists).await;
        Ok(result.map_err(Into::into))
    }

    async fn try_execute(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let result = self
            .batch()?
            .try_execute(&statement, &from_guest(params))
            .await;
        Ok(result.map_err(Into::into))
    }
}
