//! One statement of a guest on its batch's connection: parameters are encoded for the types that the server inferred.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, Either, Encode, Executor as _, Postgres, Row as _,
    SqlSafeStr as _, Statement as _, Type, TypeInfo as _, ValueRef as _,
};

use super::GuestError;
use super::many::touches_each;
use super::value::{self, Value};

/// Most rows that one query hands to a guest.
pub const MAX_QUERY_ROWS: usize = 100_000;

/// Most bytes that one query hands to a guest.
pub const MAX_QUERY_BYTES: usize = 32 * 1024 * 1024;

/// What the place of a value takes, whatever is in it.
const PLACE_BYTES: usize = 16;

/// A column of a result or of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_name: String,
}

/// The answer of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowSet {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

/// Statements that a batch keeps. A guest has a few that it runs again and again.
const KEPT_STATEMENTS: usize = 8;

/// What the last statements of a batch take and give, so that the driver need not be asked again. What they use is locked until the batch
/// ends, and the driver itself goes by it for longer.
#[derive(Default)]
pub(super) struct Recent(Vec<Prepared>);

#[derive(Clone)]
struct Prepared {
    statement: PgStatement,
    touches_one: bool,
}

impl Recent {
    /// Whether the batch has run this one not long ago.
    pub fn knows(&self, sql: &str) -> bool {
        self.get(sql).is_some()
    }

    /// A statement with its parameters, if the batch has run it not long ago: without a word to the server.
    pub fn bind_known(&self, sql: &str, parameters: &[Value]) -> Result<Option<Bound>, GuestError> {
        let prepared = self.get(sql);
        prepared
            .map(|prepared| prepared.bind(parameters))
            .transpose()
    }

    pub async fn bind(
        &mut self,
        connection: &mut PgConnection,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Bound, GuestError> {
        self.prepare(connection, sql).await?.bind(parameters)
    }

    fn get(&self, sql: &str) -> Option<&Prepared> {
        self.0
            .iter()
            .find(|known| known.statement.sql().as_str() == sql)
    }

    async fn prepare(
        &mut self,
        connection: &mut PgConnection,
        sql: &str,
    ) -> Result<Prepared, GuestError> {
        if let Some(prepared) = self.get(sql) {
            return Ok(prepared.clone());
        }
        let statement = prepare(connection, sql).await?;
        let prepared = Prepared {
            touches_one: touches_each(sql, &statement),
            statement,
        };
        if self.0.len() >= KEPT_STATEMENTS {
            self.0.remove(0);
        }
        self.0.push(prepared.clone());
        Ok(prepared)
    }
}

impl Prepared {
    fn bind(&self, parameters: &[Value]) -> Result<Bound, GuestError> {
        Ok(Bound {
            arguments: arguments(&self.statement, parameters)?,
            statement: self.statement.clone(),
            touches_one: self.touches_one,
        })
    }
}

/// A statement with its parameters, held against what it takes; nothing of it has been run.
pub(super) struct Bound {
    statement: PgStatement,
    arguments: PgArguments,
    touches_one: bool,
}

impl Bound {
    /// How many rows it touches unless it fails, where that can be said before.
    pub fn affects(&self) -> Option<u64> {
        self.touches_one.then_some(1)
    }

    /// Counts the rows it touched.
    pub async fn execute(self, connection: &mut PgConnection) -> Result<u64, GuestError> {
        let query = self.statement.query_with(self.arguments);
        Ok(connection.execute(query).await?.rows_affected())
    }
}

/// Runs a statement and reads its rows.
pub(super) async fn query(
    connection: &mut PgConnection,
    recent: &mut Recent,
    sql: &str,
    parameters: &[Value],
) -> Result<RowSet, GuestError> {
    let Bound {
        statement,
        arguments,
        ..
    } = recent.bind(connection, sql, parameters).await?;
    let columns: Vec<Column> = statement.columns().iter().map(column).collect();
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut stream = connection.fetch_many(statement.query_with(arguments));
    while let Some(item) = stream.try_next().await? {
        let Either::Right(row) = item else { continue };
        let (read, size) = read_row(&row)?;
        bytes += size;
        rows.push(read);
        if rows.len() > MAX_QUERY_ROWS || bytes > MAX_QUERY_BYTES {
            return Err(GuestError::new(
                "too-large",
                format!(
                    "the answer has more than {MAX_QUERY_ROWS} rows or {MAX_QUERY_BYTES} bytes (query-rows and query-bytes, which are fixed); add a LIMIT or select fewer columns"
                ),
            ));
        }
    }
    Ok(RowSet { columns, rows })
}

pub(super) async fn prepare(
    connection: &mut PgConnection,
    sql: &str,
) -> Result<PgStatement, GuestError> {
    // Shared by the copies of the statement.
    let sql = AssertSqlSafe(Arc::<str>::from(sql));
    Ok(connection.prepare(sql.into_sql_str()).await?)
}

fn column(column: &sqlx::postgres::PgColumn) -> Column {
    Column {
        name: column.name().to_owned(),
        type_name: column.type_info().name().to_ascii_lowercase(),
    }
}

fn read_row(row: &PgRow) -> Result<(Vec<Value>, usize), GuestError> {
    let mut size = 0;
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let raw = row.try_get_raw(index)?;
        let info = raw.type_info().into_owned();
        let bytes = if raw.is_null() {
            None
        } else {
            Some(
                raw.as_bytes()
                    .map_err(|error| GuestError::new("database", error.to_string()))?,
            )
        };
        size += PLACE_BYTES + bytes.map_or(0, <[u8]>::len);
        values.push(
            value::decode(bytes, &info)
                .map_err(|message| GuestError::new("unsupported-type", message))?,
        );
    }
    Ok((values, size))
}

/// What a row weighs.
pub(super) fn size_bytes(row: &PgRow) -> Result<usize, GuestError> {
    let mut size = 0;
    for index in 0..row.len() {
        let raw = row.try_get_raw(index)?;
        let bytes = raw.as_bytes().map_or(0, <[u8]>::len);
        size += PLACE_BYTES + bytes;
    }
    Ok(size)
}

fn arguments(statement: &PgStatement, parameters: &[Value]) -> Result<PgArguments, GuestError> {
    let types = types_for(statement, parameters)?;
    let mut arguments = PgArguments::default();
    arguments.reserve(types.len(), types.len() * PLACE_BYTES);
    for (index, (value, info)) in parameters.iter().zip(types).enumerate() {
        let added = arguments.add(Parameter { value, info });
        added.map_err(|misfit| bad_parameter(index, &misfit))?;
    }
    Ok(arguments)
}

pub(super) fn bad_parameter(index: usize, misfit: &dyn std::fmt::Display) -> GuestError {
    GuestError::new(
        "bad-parameter",
        format!("parameter ${}: {misfit}", index + 1),
    )
}

/// The types of as many parameters as there are.
pub(super) fn types_for<'a>(
    statement: &'a PgStatement,
    parameters: &[Value],
) -> Result<&'a [PgTypeInfo], GuestError> {
    let types = parameter_types(statement);
    if types.len() != parameters.len() {
        return Err(GuestError::new(
            "bad-parameter",
            format!(
                "the statement has {} parameters, {} were sent",
                types.len(),
                parameters.len()
            ),
        ));
    }
    Ok(types)
}

/// The types that the server inferred for the parameters.
pub(super) fn parameter_types(statement: &PgStatement) -> &[PgTypeInfo] {
    match statement.parameters() {
        Some(Either::Left(types)) => types,
        _ => &[],
    }
}

/// A value for a parameter of this type.
struct Parameter<'a> {
    value: &'a Value,
    info: &'a PgTypeInfo,
}

impl Type<Postgres> for Parameter<'_> {
    fn type_info() -> PgTypeInfo {
        <String as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Parameter<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(value::encode(self.value, self.info, buffer)?)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}
