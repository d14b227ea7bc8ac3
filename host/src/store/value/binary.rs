//! Values in PostgreSQL's binary format, encoded for the type that the server inferred for a parameter.

use sqlx::TypeInfo as _;
use sqlx::encode::IsNull;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

use super::{Value, numeric};

/// Days and microseconds between 1970-01-01, where the guest counts from, and 2000-01-01, where PostgreSQL does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
    pub const BOOL_ARRAY: u32 = 1000;
    pub const INT2_ARRAY: u32 = 1005;
    pub const INT4_ARRAY: u32 = 1007;
    pub const TEXT_ARRAY: u32 = 1009;
    pub const VARCHAR_ARRAY: u32 = 1015;
    pub const INT8_ARRAY: u32 = 1016;
    pub const FLOAT4_ARRAY: u32 = 1021;
    pub const FLOAT8_ARRAY: u32 = 1022;
}

/// The oid to encode for: a domain is sent as the type below it, an enum as text.
fn wire_oid(info: &PgTypeInfo) -> u32 {
    match info.kind() {
        PgTypeKind::Domain(base) => wire_oid(base),
        PgTypeKind::Enum(_) => oid::TEXT,
        _ => info.oid().map_or(oid::UNKNOWN, |Oid(number)| number),
    }
}

/// Writes `value` for a parameter of type `info`. The error says what would have fitted; what is written by then means nothing.
pub fn encode(value: &Value, info: &PgTypeInfo, buffer: &mut Vec<u8>) -> Result<IsNull, String> {
    if *value == Value::Null {
        return Ok(IsNull::Yes);
    }
    let fits = write(value, wire_oid(info), buffer);
    fits.map(|()| IsNull::No).ok_or_else(|| {
        format!(
            "a value of kind `{}` does not fit type {}; send a fitting kind, or write the parameter as $n::text::{}",
            value.kind(),
            info.name(),
            info.name().to_ascii_lowercase()
        )
    })
}

fn write(value: &Value, oid: u32, buffer: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Boolean(flag) if oid == oid::BOOL => buffer.push(u8::from(*flag)),
        Value::Integer(number) => write_integer(*number, oid, buffer)?,
        Value::Float(number) => write_float(*number, oid, buffer)?,
        Value::Text(text)
        | Value::Json(text)
        | Value::Uuid(text)
        | Value::Numeric(text)
        | Value::Other { text, .. } => write_text(text, oid, buffer)?,
        Value::Bytes(bytes) if oid == oid::BYTEA => buffer.extend(bytes),
        Value::Date(days) if oid == oid::DATE => {
            buffer.extend(days.saturating_sub(EPOCH_DAYS).to_be_bytes());
        }
        Value::Timestamp(micros) | Value::Timestamptz(micros)
            if matches!(oid, oid::TIMESTAMP | oid::TIMESTAMPTZ) =>
        {
            buffer.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes());
        }
        Value::BooleanArray(items) if oid == oid::BOOL_ARRAY => {
            write_array(
                oid::BOOL,
                items.iter().map(Option::as_ref),
                buffer,
                |flag, buffer| {
                    buffer.push(u8::from(*flag));
                    Some(())
                },
            )?;
        }
        Value::IntegerArray(items) => {
            let element = match oid {
                oid::INT8_ARRAY => oid::INT8,
                oid::INT4_ARRAY => oid::INT4,
                oid::INT2_ARRAY => oid::INT2,
                _ => return None,
            };
            write_array(
                element,
                items.iter().map(Option::as_ref),
                buffer,
                |number, buffer| write_integer(*number, element, buffer),
            )?;
        }
        Value::FloatArray(items) => {
            let element = match oid {
                oid::FLOAT8_ARRAY => oid::FLOAT8,
                oid::FLOAT4_ARRAY => oid::FLOAT4,
                _ => return None,
            };
            write_array(
                element,
                items.iter().map(Option::as_ref),
                buffer,
                |number, buffer| write_float(*number, element, buffer),
            )?;
        }
        Value::TextArray(items) => {
            let element = match oid {
                oid::TEXT_ARRAY => oid::TEXT,
                oid::VARCHAR_ARRAY => oid::VARCHAR,
                _ => return None,
            };
            write_array(
                element,
                items.iter().map(Option::as_ref),
                buffer,
                |text, buffer| {
                    buffer.extend(text.as_bytes());
                    Some(())
                },
            )?;
        }
        _ => return None,
    }
    Some(())
}

fn write_integer(number: i64, oid: u32, buffer: &mut Vec<u8>) -> Option<()> {
    match oid {
        oid::INT8 => buffer.extend(number.to_be_bytes()),
        oid::INT4 => buffer.extend(i32::try_from(number).ok()?.to_be_bytes()),
        oid::INT2 => buffer.extend(i16::try_from(number).ok()?.to_be_bytes()),
        oid::FLOAT8 => buffer.extend((number as f64).to_be_bytes()),
        oid::NUMERIC => buffer.extend(numeric::encode(&number.to_string())?),
        _ => return None,
    }
    Some(())
}

fn write_float(number: f64, oid: u32, buffer: &mut Vec<u8>) -> Option<()> {
    match oid {
        oid::FLOAT8 => buffer.extend(number.to_be_bytes()),
        oid::FLOAT4 => buffer.extend((number as f32).to_be_bytes()),
        _ => return None,
    }
    Some(())
}

fn write_text(text: &str, oid: u32, buffer: &mut Vec<u8>) -> Option<()> {
    match oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN | oid::JSON => {
            buffer.extend(text.as_bytes());
        }
        oid::JSONB => {
            buffer.push(1);
            buffer.extend(text.as_bytes());
        }
        oid::UUID => buffer.extend(uuid::Uuid::parse_str(text).ok()?.as_bytes()),
        oid::NUMERIC => buffer.extend(numeric::encode(text)?),
        _ => return None,
    }
    Some(())
}

/// An array of one dimension, of elements of this type; `None` among them is NULL. `None`: one of them does not fit.
pub fn write_array<T>(
    element: u32,
    items: impl ExactSizeIterator<Item = Option<T>> + Clone,
    buffer: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let has_null = items.clone().any(|item| item.is_none());
    buffer.extend(i32::from(items.len() > 0).to_be_bytes());
    buffer.extend(i32::from(has_null).to_be_bytes());
    buffer.extend(element.to_be_bytes());
    if items.len() > 0 {
        buffer.extend(i32::try_from(items.len()).ok()?.to_be_bytes());
        buffer.extend(1_i32.to_be_bytes());
    }
    for item in items {
        let at = buffer.len();
        buffer.extend((-1_i32).to_be_bytes());
        if let Some(item) = item {
            write(item, buffer)?;
            let length = i32::try_from(buffer.len() - at - 4).ok()?;
            buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
    Some(())
}

/// Reads a column of a result. The error names the type and the way round.
pub fn decode(bytes: Option<&[u8]>, info: &PgTypeInfo) -> Result<Value, String> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    let unsupported = || {
        format!(
            "results of type {} cannot be handed to a guest; select the column as text: column::text",
            info.name()
        )
    };
    Ok(match wire_oid(info) {
        oid::BOOL => Value::Boolean(bytes.first() == Some(&1)),
        number @ (oid::INT2 | oid::INT4 | oid::INT8) => {
            Value::Integer(decode_integer(bytes, number).ok_or_else(unsupported)?)
        }
        number @ (oid::FLOAT4 | oid::FLOAT8) => {
            Value::Float(decode_float(bytes, number).ok_or_else(unsupported)?)
        }
        _ if matches!(info.kind(), PgTypeKind::Enum(_)) => Value::Other {
            type_name: info.name().to_owned(),
            text: utf8(bytes)?,
        },
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN => {
            Value::Text(utf8(bytes)?)
        }
        oid::JSON => Value::Json(utf8(bytes)?),
        oid::JSONB => Value::Json(utf8(bytes.get(1..).unwrap_or_default())?),
        oid::BYTEA => Value::Bytes(bytes.to_vec()),
        oid::UUID => Value::Uuid(
            uuid::Uuid::from_slice(bytes)
                .map_err(|_| unsupported())?
                .to_string(),
        ),
        oid::NUMERIC => Value::Numeric(numeric::decode(bytes).ok_or_else(unsupported)?),
        oid::DATE => Value::Date(
            be_i32(bytes)
                .ok_or_else(unsupported)?
                .saturating_add(EPOCH_DAYS),
        ),
        oid::TIMESTAMP => Value::Timestamp(
            be_i64(bytes)
                .ok_or_else(unsupported)?
                .saturating_add(EPOCH_MICROS),
        ),
        oid::TIMESTAMPTZ => Value::Timestamptz(
            be_i64(bytes)
                .ok_or_else(unsupported)?
                .saturating_add(EPOCH_MICROS),
        ),
        oid::BOOL_ARRAY => Value::BooleanArray(
            decode_array(bytes, |item| Some(item == [1])).ok_or_else(unsupported)?,
        ),
        oid::INT2_ARRAY => Value::IntegerArray(
            decode_array(bytes, |item| decode_integer(item, oid::INT2)).ok_or_else(unsupported)?,
        ),
        oid::INT4_ARRAY => Value::IntegerArray(
            decode_array(bytes, |item| decode_integer(item, oid::INT4)).ok_or_else(unsupported)?,
        ),
        oid::INT8_ARRAY => Value::IntegerArray(
            decode_array(bytes, |item| decode_integer(item, oid::INT8)).ok_or_else(unsupported)?,
        ),
        oid::FLOAT4_ARRAY => Value::FloatArray(
            decode_array(bytes, |item| decode_float(item, oid::FLOAT4)).ok_or_else(unsupported)?,
        ),
        oid::FLOAT8_ARRAY => Value::FloatArray(
            decode_array(bytes, |item| decode_float(item, oid::FLOAT8)).ok_or_else(unsupported)?,
        ),
        oid::TEXT_ARRAY | oid::VARCHAR_ARRAY => {
            Value::TextArray(decode_array(bytes, |item| utf8(item).ok()).ok_or_else(unsupported)?)
        }
        _ if *info == <() as sqlx::Type<sqlx::Postgres>>::type_info()
            || <() as sqlx::Type<sqlx::Postgres>>::compatible(info) =>
        {
            Value::Null
        }
        _ => return Err(unsupported()),
    })
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| "the server sent text that is not UTF-8".to_owned())
}

fn be_i32(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

fn be_i64(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

fn decode_integer(bytes: &[u8], oid: u32) -> Option<i64> {
    match oid {
        oid::INT2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        oid::INT4 => Some(be_i32(bytes)?.into()),
        _ => be_i64(bytes),
    }
}

fn decode_float(bytes: &[u8], oid: u32) -> Option<f64> {
    match oid {
        oid::FLOAT4 => Some(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        _ => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
    }
}

/// One dimension only; `None` for anything else.
fn decode_array<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<Option<T>>> {
    match be_i32(bytes.get(..4)?)? {
        0 => return Some(Vec::new()),
        1 => {}
        _ => return None,
    }
    let length = be_i32(bytes.get(12..16)?)?;
    let mut rest = bytes.get(20..)?;
    let mut items = Vec::new();
    for _ in 0..length {
        let size = be_i32(rest.get(..4)?)?;
        rest = &rest[4..];
        match usize::try_from(size) {
            Err(_) => items.push(None),
            Ok(size) => {
                items.push(Some(decode(rest.get(..size)?)?));
                rest = &rest[size..];
            }
        }
    }
    Some(items)
}
