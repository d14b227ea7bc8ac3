//! What values weigh on their way between guest and host: their bytes and what a place for one takes.

use crate::guest::bindings::projectionist::sql::types::Value;

/// What the place of a value takes, whatever is in it.
const PLACE_BYTES: usize = 16;

pub fn of_value(value: &Value) -> usize {
    let texts = |texts: &[Option<String>]| -> usize {
        texts
            .iter()
            .map(|text| PLACE_BYTES + text.as_ref().map_or(0, String::len))
            .sum()
    };
    PLACE_BYTES
        + match value {
            Value::Null
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Date(_)
            | Value::Timestamp(_)
            | Value::Timestamptz(_) => 0,
            Value::Text(text) | Value::Numeric(text) | Value::Json(text) | Value::Uuid(text) => {
                text.len()
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::BooleanArray(items) => items.len(),
            Value::IntegerArray(items) => items.len() * PLACE_BYTES,
            Value::FloatArray(items) => items.len() * PLACE_BYTES,
            Value::TextArray(items) => texts(items),
            Value::Other(other) => other.type_name.len() + other.text.len(),
        }
}

pub fn of_values(values: &[Value]) -> usize {
    PLACE_BYTES + values.iter().map(of_value).sum::<usize>()
}

pub fn of_rows(rows: &[Vec<Value>]) -> usize {
    rows.iter().map(|row| of_values(row)).sum()
}
