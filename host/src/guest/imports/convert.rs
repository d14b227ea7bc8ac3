//! Between the generated types of the interface and the host's own.

use subscription::{Clause, Consistency, Descriptor, Filter, Kind, Pattern, RunMode, SubscriberId};

use crate::guest::bindings::projectionist::events::types as events;
use crate::guest::bindings::projectionist::guest::types as guest;
use crate::guest::bindings::projectionist::sql::types as sql;
use crate::guest::limits::{Exceeded, MAX_DESCRIPTOR_BYTES};
use crate::store::value::Value;
use crate::store::{Column, GuestError, RecordedEvent, RowSet};

/// A single event. Those to handle are [handed](super::hand) over, or as a [chunk](super::Chunk).
pub fn event_to_guest(event: RecordedEvent) -> events::Event {
    events::Event {
        position: event.position.unsigned_abs(),
        id: event.id.to_string(),
        stream: event.stream().to_owned(),
        version: event.version.unsigned_abs(),
        type_: event.event_type().to_owned(),
        recorded_at: event.recorded_at_micros,
        data: events::Payload::Json(event.data().to_owned()),
        metadata: event.metadata().to_owned(),
        causation_id: event.causation_id.map(|id| id.to_string()),
        correlation_id: event.correlation_id.map(|id| id.to_string()),
        tags: event.tags,
    }
}

/// The descriptor as the rules know it, checked; the error is for the guest's author.
pub fn descriptor_from_guest(found: guest::Descriptor) -> Result<Descriptor, String> {
    check_size(&found)?;
    let kind = match found.kind {
        guest::Kind::Projector => Kind::Projector,
        guest::Kind::Processor => Kind::Processor,
    };
    let run_mode = match found.run_mode {
        guest::RunMode::FromBeginning => RunMode::FromBeginning,
        guest::RunMode::FromNow => RunMode::FromNow,
        guest::RunMode::Once => RunMode::Once,
        guest::RunMode::FromPosition(position) => {
            RunMode::FromPosition(i64::try_from(position).map_err(|_| {
                format!("the position {position} to start from is larger than any position")
            })?)
        }
    };
    let default_group = crate::store::kind_text(kind);
    let descriptor = Descriptor {
        id: SubscriberId::parse(&found.id, kind).map_err(|error| error.to_string())?,
        kind,
        group: found.group.unwrap_or_else(|| default_group.to_owned()),
        filter: Filter(
            found
                .filter
                .into_iter()
                .map(clause)
                .collect::<Result<_, _>>()?,
        ),
        run_mode,
        partition_by: found.partition_by,
        lanes: found.lanes,
        consistency: match found.consistency {
            guest::Consistency::Eventual => Consistency::Eventual,
            guest::Consistency::Strong => Consistency::Strong,
        },
        max_chunk: found.max_chunk,
        options: found.options,
    };
    descriptor.check().map_err(|error| error.to_string())
}

fn check_size(found: &guest::Descriptor) -> Result<(), String> {
    let texts = |texts: &[String]| -> usize { texts.iter().map(|text| text.len() + 1).sum() };
    let clauses = found.filter.iter().map(|clause| {
        texts(&clause.types)
            + texts(&clause.except_types)
            + texts(&clause.streams)
            + texts(&clause.tags)
            + 1
    });
    let options = found.options.iter();
    let options = options.map(|(key, value)| key.len() + value.len() + 2);
    let bytes = found.id.len()
        + found.group.as_ref().map_or(0, String::len)
        + found.partition_by.len()
        + clauses.sum::<usize>()
        + options.sum::<usize>();
    if bytes > MAX_DESCRIPTOR_BYTES {
        let max = MAX_DESCRIPTOR_BYTES as u64;
        let did = format!("its texts have {bytes} bytes together");
        return Err(Exceeded::new("descriptor-bytes", max, did).to_string());
    }
    Ok(())
}

fn clause(clause: events::Clause) -> Result<Clause, String> {
    let patterns = |texts: Vec<String>| {
        texts
            .iter()
            .map(|text| text.parse::<Pattern>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
    };
    Ok(Clause {
        types: patterns(clause.types)?,
        except_types: patterns(clause.except_types)?,
        streams: patterns(clause.streams)?,
        tags: patterns(clause.tags)?,
    })
}

impl From<sql::Value> for Value {
    fn from(value: sql::Value) -> Value {
        match value {
            sql::Value::Null => Value::Null,
            sql::Value::Boolean(flag) => Value::Boolean(flag),
            sql::Value::Integer(number) => Value::Integer(number),
            sql::Value::Float(number) => Value::Float(number),
            sql::Value::Text(text) => Value::Text(text),
            sql::Value::Bytes(bytes) => Value::Bytes(bytes),
            sql::Value::Numeric(text) => Value::Numeric(text),
            sql::Value::Json(text) => Value::Json(text),
            sql::Value::Uuid(text) => Value::Uuid(text),
            sql::Value::Date(days) => Value::Date(days),
            sql::Value::Timestamp(micros) => Value::Timestamp(micros),
            sql::Value::Timestamptz(micros) => Value::Timestamptz(micros),
            sql::Value::BooleanArray(items) => Value::BooleanArray(items),
            sql::Value::IntegerArray(items) => Value::IntegerArray(items),
            sql::Value::FloatArray(items) => Value::FloatArray(items),
            sql::Value::TextArray(items) => Value::TextArray(items),
            sql::Value::Other(other) => Value::Other {
                type_name: other.type_name,
                text: other.text,
            },
        }
    }
}

impl From<Value> for sql::Value {
    fn from(value: Value) -> sql::Value {
        match value {
            Value::Null => sql::Value::Null,
            Value::Boolean(flag) => sql::Value::Boolean(flag),
            Value::Integer(number) => sql::Value::Integer(number),
            Value::Float(number) => sql::Value::Float(number),
            Value::Text(text) => sql::Value::Text(text),
            Value::Bytes(bytes) => sql::Value::Bytes(bytes),
            Value::Numeric(text) => sql::Value::Numeric(text),
            Value::Json(text) => sql::Value::Json(text),
            Value::Uuid(text) => sql::Value::Uuid(text),
            Value::Date(days) => sql::Value::Date(days),
            Value::Timestamp(micros) => sql::Value::Timestamp(micros),
            Value::Timestamptz(micros) => sql::Value::Timestamptz(micros),
            Value::BooleanArray(items) => sql::Value::BooleanArray(items),
            Value::IntegerArray(items) => sql::Value::IntegerArray(items),
            Value::FloatArray(items) => sql::Value::FloatArray(items),
            Value::TextArray(items) => sql::Value::TextArray(items),
            Value::Other { type_name, text } => {
                sql::Value::Other(sql::OtherValue { type_name, text })
            }
        }
    }
}

impl From<Column> for sql::Column {
    fn from(column: Column) -> sql::Column {
        sql::Column {
            name: column.name,
            type_name: column.type_name,
        }
    }
}

impl From<RowSet> for sql::RowSet {
    fn from(set: RowSet) -> sql::RowSet {
        sql::RowSet {
            columns: set.columns.into_iter().map(Into::into).collect(),
            rows: set.rows.into_iter().map(to_guest).collect(),
        }
    }
}

impl From<GuestError> for sql::Error {
    fn from(error: GuestError) -> sql::Error {
        sql::Error {
            kind: error.kind.to_owned(),
            message: error.message,
            sqlstate: error.sqlstate,
            retryable: error.retryable,
            extras: Vec::new(),
        }
    }
}

pub fn from_guest(values: Vec<sql::Value>) -> Vec<Value> {
    values.into_iter().map(Into::into).collect()
}

pub fn to_guest(values: Vec<Value>) -> Vec<sql::Value> {
    values.into_iter().map(Into::into).collect()
}
