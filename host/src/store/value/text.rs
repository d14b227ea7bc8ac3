//! Values in PostgreSQL's text form: the way of rows, where every column travels as `text[]` with a cast in the SELECT.

use time::{Duration, OffsetDateTime};

use super::Value;

/// Whether the server can hold the text of a value, if it is one.
pub fn check_text(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text)
        | Value::Numeric(text)
        | Value::Json(text)
        | Value::Uuid(text)
        | Value::Other { text, .. }
            if text.contains('\0') =>
        {
            Err("text must not contain the character NUL".to_owned())
        }
        _ => Ok(()),
    }
}

/// The text of a value for a cast to its column's type; `None` is SQL NULL. The error says what does not fit.
pub fn to_text(value: &Value) -> Result<Option<String>, String> {
    check_text(value)?;
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Boolean(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Text(text)
        | Value::Numeric(text)
        | Value::Json(text)
        | Value::Uuid(text)
        | Value::Other { text, .. } => text.clone(),
        Value::Bytes(bytes) => format!("\\x{}", hex::encode(bytes)),
        Value::Date(days) => date(*days)?,
        Value::Timestamp(micros) => timestamp(*micros)?,
        Value::Timestamptz(micros) => format!("{}+00", timestamp(*micros)?),
        Value::BooleanArray(items) => array(items, |flag| flag.to_string()),
        Value::IntegerArray(items) => array(items, |number| number.to_string()),
        Value::FloatArray(items) => array(items, |number| float(*number)),
        Value::TextArray(items) => array(items, |text| quoted(text)),
    }))
}

fn float(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{number:?}"),
    }
}

fn date(days: i32) -> Result<String, String> {
    let date = OffsetDateTime::UNIX_EPOCH
        .checked_add(Duration::days(days.into()))
        .ok_or_else(|| {
            format!("the date {days} days from 1970-01-01 is outside years -9999 to 9999")
        })?
        .date();
    Ok(format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    ))
}

fn timestamp(micros: i64) -> Result<String, String> {
    let at = OffsetDateTime::UNIX_EPOCH
        .checked_add(Duration::microseconds(micros))
        .ok_or_else(|| {
            format!("the time {micros} microseconds from 1970-01-01 is outside years -9999 to 9999")
        })?;
    let (hour, minute, second, micro) = at.to_hms_micro();
    let date = at.date();
    Ok(format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}.{micro:06}",
        date.year(),
        u8::from(date.month()),
        date.day()
    ))
}

fn array<T>(items: &[Option<T>], text: impl Fn(&T) -> String) -> String {
    let parts: Vec<String> = items
        .iter()
        .map(|item| item.as_ref().map_or_else(|| "NULL".to_owned(), &text))
        .collect();
    format!("{{{}}}", parts.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The expression that reads a column so that [`from_text`] understands it. `column` is already quoted.
pub fn select_as_text(column: &str, type_name: &str) -> String {
    match type_name {
        "timestamp with time zone" | "timestamp without time zone" => {
            format!(
                "(EXTRACT(epoch FROM {column}) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8::pg_catalog.text"
            )
        }
        "date" => format!(
            "({column} OPERATOR(pg_catalog.-) pg_catalog.date('1970-01-01'))::pg_catalog.text"
        ),
        "bytea" => format!("pg_catalog.encode({column}, 'hex')"),
        _ if type_name.ends_with("[]") => {
            format!("pg_catalog.array_to_json({column})::pg_catalog.text")
        }
        _ => format!("{column}::pg_catalog.text"),
    }
}

/// Reads what [`select_as_text`] selected.
pub fn from_text(text: Option<&str>, type_name: &str) -> Result<Value, String> {
    let Some(text) = text else {
        return Ok(Value::Null);
    };
    let unreadable = |_| format!("the server sent `{text}` for a column of type {type_name}");
    let unreadable_float = |_| format!("the server sent `{text}` for a column of type {type_name}");
    let unreadable_json = |_| format!("the server sent `{text}` for a column of type {type_name}");
    Ok(match type_name {
        "boolean" => Value::Boolean(text == "true"),
        "smallint" | "integer" | "bigint" => Value::Integer(text.parse().map_err(unreadable)?),
        "real" | "double precision" => Value::Float(text.parse().map_err(unreadable_float)?),
        "text" | "character varying" | "character" => Value::Text(text.to_owned()),
        "bytea" => Value::Bytes(
            hex::decode(text)
                .map_err(|_| format!("the server sent `{text}` for a column of type bytea"))?,
        ),
        "numeric" => Value::Numeric(text.to_owned()),
        "json" | "jsonb" => Value::Json(text.to_owned()),
        "uuid" => Value::Uuid(text.to_owned()),
        "date" => Value::Date(text.parse().map_err(unreadable)?),
        "timestamp without time zone" => Value::Timestamp(text.parse().map_err(unreadable)?),
        "timestamp with time zone" => Value::Timestamptz(text.parse().map_err(unreadable)?),
        "boolean[]" => Value::BooleanArray(serde_json::from_str(text).map_err(unreadable_json)?),
        "smallint[]" | "integer[]" | "bigint[]" => {
            Value::IntegerArray(serde_json::from_str(text).map_err(unreadable_json)?)
        }
        "real[]" | "double precision[]" => {
            Value::FloatArray(serde_json::from_str(text).map_err(unreadable_json)?)
        }
        "text[]" | "character varying[]" => {
            Value::TextArray(serde_json::from_str(text).map_err(unreadable_json)?)
        }
        other => Value::Other {
            type_name: other.to_owned(),
            text: text.to_owned(),
        },
    })
}
