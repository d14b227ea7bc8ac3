//! An event as a row, for guests that show what they are handed.

use projectionist_sdk::prelude::*;
use projectionist_sdk::{PayloadRef, Value};
use std::collections::BTreeMap;

/// What [`shown`] goes into.
pub const TABLE: &str = "CREATE TABLE shown (position bigint PRIMARY KEY, event text NOT NULL)";

/// Everything about an event, for its row in [`TABLE`].
///
/// # Errors
/// The position is beyond those of the log.
pub fn shown(event: &Message) -> Result<[Value; 2]> {
    let data = match event.payload() {
        PayloadRef::Json(text) => text,
        PayloadRef::Bytes(_) => "bytes",
    };
    let metadata: BTreeMap<String, String> = event.metadata()?;
    let event_text = format!(
        "{} {} {} {} {} {data} {metadata:?} {:?} {:?} {:?}",
        event.id(),
        event.stream(),
        event.version(),
        event.event_type(),
        event.recorded_at().timestamp().micros(),
        event.causation_id(),
        event.correlation_id(),
        event.tags()
    );
    let position = i64::try_from(event.position())?;
    Ok([Value::Integer(position), Value::Text(event_text)])
}
