//! Rust types as values of columns and parameters, and back.

pub use crate::bindings::projectionist::sql::types::Value;

use crate::time::{Date, Timestamp};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

/// Something that can be a parameter of a statement.
pub trait ToValue {
    /// As a value.
    fn to_value(&self) -> Value;
}

/// Something that can be read from a result.
pub trait FromValue: Sized {
    /// From a value.
    ///
    /// # Errors
    /// The value is of another type.
    fn from_value(value: Value) -> Result<Self, ValueError>;
}

/// What these weigh, about.
pub(crate) fn size_bytes(values: &[Value]) -> usize {
    values.iter().map(weight).sum()
}

fn weight(value: &Value) -> usize {
    let further = match value {
        Value::Text(text) | Value::Numeric(text) | Value::Json(text) | Value::Uuid(text) => {
            text.len()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::Other(other) => other.type_name.len() + other.text.len(),
        Value::BooleanArray(items) => items.len(),
        Value::IntegerArray(items) => items.len() * size_of::<i64>(),
        Value::FloatArray(items) => items.len() * size_of::<f64>(),
        Value::TextArray(items) => items.iter().flatten().map(String::len).sum(),
        _ => 0,
    };
    size_of::<Value>() + further
}

/// A field of a `#[derive(Table)]` struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of a column",
    note = "columns are String, bool, i16, i32, i64, f32, f64, Vec<u8>, Vec of String, bool, i64 or f64, serde_json::Value, \
            Uuid, Numeric, Date, Timestamp, or an Option of these"
)]
pub trait Column: ToValue + FromValue {
    /// The column's type in PostgreSQL.
    const TYPE: &'static str;
    /// Whether the column may be null.
    const NULLABLE: bool = false;
}

/// A UUID as lower-case text. A `uuid` column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uuid(pub String);

/// A decimal number as text, never a float. A `numeric` column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numeric(pub String);

/// A value of another type than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    wanted: &'static str,
    got: String,
    column: Option<String>,
}

impl ValueError {
    /// The result had fewer columns than asked for, or none of this name.
    pub fn missing(column: impl Into<String>) -> ValueError {
        ValueError {
            wanted: "a value",
            got: "no such column".to_owned(),
            column: Some(column.into()),
        }
    }

    /// Says which column it was.
    #[must_use]
    pub fn in_column(mut self, column: impl Into<String>) -> ValueError {
        self.column = Some(column.into());
        self
    }

    fn new(wanted: &'static str, value: &Value) -> ValueError {
        ValueError {
            wanted,
            got: kind(value).to_owned(),
            column: None,
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ValueError {
            wanted,
            got,
            column,
        } = self;
        match column {
            Some(column) => write!(out, "column {column}: expected {wanted}, found {got}"),
            None => write!(out, "expected {wanted}, found {got}"),
        }
    }
}

impl Error for ValueError {}

fn kind(value: &Value) -> &str {
    match value {
        Value::Null => "null (read it as an Option)",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Numeric(_) => "a numeric (cast it in the statement, or read it as Numeric)",
        Value::Json(_) => "a json",
        Value::Uuid(_) => "a uuid",
        Value::Date(_) => "a date",
        Value::Timestamp(_) => "a timestamp without time zone",
        Value::Timestamptz(_) => "a timestamp with time zone",
        Value::BooleanArray(_) => "an array of booleans",
        Value::IntegerArray(_) => "an array of integers",
        Value::FloatArray(_) => "an array of floats",
        Value::TextArray(_) => "an array of texts",
        Value::Other(other) => &other.type_name,
    }
}

/// One line per type: Rust type, PostgreSQL type, how it becomes a value, which values it is read from.
macro_rules! column {
    ($type:ty, $sql:literal, |$this:ident| $to:expr, $($pattern:pat => $from:expr),+ $(,)?) => {
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                let $this = self;
                $to
            }
        }

        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                match value {
                    $($pattern => $from,)+
                    other => Err(ValueError::new($sql, &other)),
                }
            }
        }

        impl Column for $type {
            const TYPE: &'static str = $sql;
        }
    };
}

column!(String, "text", |it| Value::Text(it.clone()), Value::Text(text) => Ok(text), Value::Other(other) => Ok(other.text));
column!(bool, "boolean", |it| Value::Boolean(*it), Value::Boolean(it) => Ok(it));
column!(i64, "bigint", |it| Value::Integer(*it), Value::Integer(it) => Ok(it));
column!(i32, "integer", |it| Value::Integer((*it).into()), Value::Integer(it) => it.try_into().map_err(|_| out_of_range("integer", it)));
column!(i16, "smallint", |it| Value::Integer((*it).into()), Value::Integer(it) => it.try_into().map_err(|_| out_of_range("smallint", it)));
column!(f64, "double precision", |it| Value::Float(*it), Value::Float(it) => Ok(it));
column!(f32, "real", |it| Value::Float((*it).into()), Value::Float(it) => Ok(it as f32));
column!(Vec<u8>, "bytea", |it| Value::Bytes(it.clone()), Value::Bytes(it) => Ok(it));
column!(Uuid, "uuid", |it| Value::Uuid(it.0.clone()), Value::Uuid(it) => Ok(Uuid(it)));
column!(Numeric, "numeric", |it| Value::Numeric(it.0.clone()), Value::Numeric(it) => Ok(Numeric(it)));
column!(Date, "date", |it| Value::Date(it.days()), Value::Date(it) => Ok(Date::from_days(it)));
column!(
    Timestamp, "timestamptz", |it| Value::Timestamptz(it.micros()),
    Value::Timestamptz(it) | Value::Timestamp(it) => Ok(Timestamp::from_micros(it)),
);
column!(
    serde_json::Value, "json", |it| Value::Json(it.to_string()),
    Value::Json(text) => serde_json::from_str(&text).map_err(|error| ValueError {
        wanted: "json", got: error.to_string(), column: None,
    }),
);
column!(Vec<String>, "text[]", |it| Value::TextArray(it.iter().cloned().map(Some).collect()), Value::TextArray(it) => whole(it));
column!(Vec<bool>, "boolean[]", |it| Value::BooleanArray(it.iter().copied().map(Some).collect()), Value::BooleanArray(it) => whole(it));
column!(Vec<i64>, "bigint[]", |it| Value::IntegerArray(it.iter().copied().map(Some).collect()), Value::IntegerArray(it) => whole(it));
column!(Vec<f64>, "double precision[]", |it| Value::FloatArray(it.iter().copied().map(Some).collect()), Value::FloatArray(it) => whole(it));

fn out_of_range(wanted: &'static str, value: i64) -> ValueError {
    ValueError {
        wanted,
        got: format!("{value}, which is out of range"),
        column: None,
    }
}

fn whole<T>(items: Vec<Option<T>>) -> Result<Vec<T>, ValueError> {
    let missing = || ValueError {
        wanted: "an array without nulls",
        got: "a null in it".to_owned(),
        column: None,
    };
    items
        .into_iter()
        .map(|item| item.ok_or_else(missing))
        .collect()
}

impl<T: Column> Column for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const NULLABLE: bool = true;
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, ValueError> {
        Ok(value)
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value {
        Value::Integer((*self).into())
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

/// The parameters of a statement, each by [`ToValue`]: `params![event.account, 5, None::<String>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec::Vec::<$crate::Value>::from([$($crate::ToValue::to_value(&$value)),*]) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Column + PartialEq + fmt::Debug>(it: T) {
        assert_eq!(T::from_value(it.to_value()), Ok(it));
    }

    #[test]
    fn every_type_comes_back_from_its_value() {
        there_and_back("text".to_owned());
        there_and_back(true);
        there_and_back(i64::MIN);
        there_and_back(i32::MAX);
        there_and_back(-7_i16);
        there_and_back(0.5_f64);
        there_and_back(0.5_f32);
        there_and_back(vec![0_u8, 255]);
        there_and_back(vec!["a".to_owned()]);
        there_and_back(vec![true, false]);
        there_and_back(vec![1_i64]);
        there_and_back(vec![1.5_f64]);
        there_and_back(serde_json::json!({"a": [1, null]}));
        there_and_back(Uuid("0d2b0d2e-7c3c-4a10-a1d0-000000000001".into()));
        there_and_back(Numeric("1.00".into()));
        there_and_back(Date::from_days(15_248));
        there_and_back(Timestamp::from_micros(-1));
        there_and_back(None::<i64>);
        there_and_back(Some(5_i64));
    }

    #[test]
    fn says_what_it_wanted_and_what_it_found() {
        let message = |error: ValueError| error.in_column("n").to_string();
        assert_eq!(
            i64::from_value(Value::Numeric("6".into())).map_err(message),
            Err("column n: expected bigint, found a numeric (cast it in the statement, or read it as Numeric)".into())
        );
        assert_eq!(
            i32::from_value(Value::Integer(1 << 40)).map_err(message),
            Err("column n: expected integer, found 1099511627776, which is out of range".into())
        );
        assert_eq!(
            String::from_value(Value::Null).map_err(message),
            Err("column n: expected text, found null (read it as an Option)".into())
        );
    }

    #[test]
    fn parameters_are_taken_by_reference() {
        let name = "a".to_owned();
        assert_eq!(
            params![name, &name, "b", 5_i64, None::<bool>],
            [
                Value::Text("a".into()),
                Value::Text("a".into()),
                Value::Text("b".into()),
                Value::Integer(5),
                Value::Null
            ]
        );
        assert_eq!(name, "a");
    }
}
