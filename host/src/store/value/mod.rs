//! A value on its way between a guest and PostgreSQL, independent of any Rust type of a table.

mod binary;
mod numeric;
mod text;

pub use binary::{decode, encode, write_array};
pub use text::{check_text, from_text, select_as_text, to_text};

/// A value in one of the forms that the guest interface knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Decimal text, never a float.
    Numeric(String),
    Json(String),
    Uuid(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since the epoch, without a zone.
    Timestamp(i64),
    /// Microseconds since the epoch, UTC.
    Timestamptz(i64),
    BooleanArray(Vec<Option<bool>>),
    IntegerArray(Vec<Option<i64>>),
    FloatArray(Vec<Option<f64>>),
    TextArray(Vec<Option<String>>),
    /// Any further type, in PostgreSQL's own text form.
    Other {
        type_name: String,
        text: String,
    },
}

impl Value {
    /// What the value is, in the words of the guest interface.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Numeric(_) => "numeric",
            Value::Json(_) => "json",
            Value::Uuid(_) => "uuid",
            Value::Date(_) => "date",
            Value::Timestamp(_) => "timestamp",
            Value::Timestamptz(_) => "timestamptz",
            Value::BooleanArray(_) => "boolean-array",
            Value::IntegerArray(_) => "integer-array",
            Value::FloatArray(_) => "float-array",
            Value::TextArray(_) => "text-array",
            Value::Other { .. } => "other",
        }
    }

    /// Whether a column of this type gives back just this value. A numeric may come back with another scale, a real with
    /// another last digit, jsonb with other spaces.
    pub fn comes_back_from(&self, type_name: &str) -> bool {
        match (self, type_name) {
            (Value::Null, _)
            | (Value::Boolean(_), "boolean")
            | (Value::Integer(_), "smallint" | "integer" | "bigint")
            | (Value::Float(_), "double precision")
            | (Value::Text(_), "text" | "character varying")
            | (Value::Bytes(_), "bytea")
            | (Value::Json(_), "json")
            | (Value::Date(_), "date")
            | (Value::Timestamp(_), "timestamp without time zone")
            | (Value::Timestamptz(_), "timestamp with time zone")
            | (Value::BooleanArray(_), "boolean[]")
            | (Value::IntegerArray(_), "smallint[]" | "integer[]" | "bigint[]")
            | (Value::FloatArray(_), "double precision[]")
            | (Value::TextArray(_), "text[]" | "character varying[]") => true,
            (Value::Uuid(text), "uuid") => {
                uuid::Uuid::try_parse(text).is_ok_and(|uuid| *text == uuid.to_string())
            }
            _ => false,
        }
    }

    /// Bytes of texts and lists in it.
    pub fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) | Value::Numeric(text) | Value::Json(text) | Value::Uuid(text) => {
                text.len()
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::Other { type_name, text } => type_name.len() + text.len(),
            Value::BooleanArray(items) => items.len(),
            Value::IntegerArray(items) => items.len() * size_of::<Option<i64>>(),
            Value::FloatArray(items) => items.len() * size_of::<Option<f64>>(),
            Value::TextArray(items) => items.iter().flatten().map(String::len).sum(),
            _ => 0,
        }
    }
}
