//! `projectionist:sql/client`: one statement a call, inside the batch's transaction.

use super::convert::from_guest;
use super::size;
use crate::guest::bindings::projectionist::sql::client::Host;
use crate::guest::bindings::projectionist::sql::types::{Error, RowSet, Value};
use crate::guest::state::State;

impl Host for State {
    async fn query(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        self.admit(1, statement.len() + size::of_values(&params))?;
        let result = self.batch()?.query(&statement, &from_guest(params)).await;
        let result = result.map(RowSet::from).map_err(Error::from);
        if let Ok(answer) = &result {
            self.allowance.received(size::of_rows(&answer.rows))?;
        }
        Ok(result)
    }

    async fn execute(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.admit(1, statement.len() + size::of_values(&params))?;
        let batch = self.batch()?;
        let result = batch.execute(&statement, &from_guest(params)).await;
        self.answered_early = batch.has_answered_early();
        Ok(result.map_err(Into::into))
    }

    async fn execute_many(
        &mut self,
        statement: String,
        params: Vec<Vec<Value>>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.admit(params.len(), statement.len() + size::of_rows(&params))?;
        let lists: Vec<_> = params.into_iter().map(from_guest).collect();
        let batch = self.batch()?;
        let result = batch.execute_many(&statement, &lists).await;
        self.answered_early = batch.has_answered_early();
        Ok(result.map_err(Into::into))
    }

    async fn try_execute(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.admit(1, statement.len() + size::of_values(&params))?;
        let result = self
            .batch()?
            .try_execute(&statement, &from_guest(params))
            .await;
        Ok(result.map_err(Into::into))
    }
}

impl State {
    /// Counts statements and what they carry, before any of it reaches the server.
    fn admit(&mut self, statements: usize, bytes: usize) -> wasmtime::Result<()> {
        self.allowance.statements(statements)?;
        self.allowance.sent(bytes)?;
        Ok(())
    }
}
