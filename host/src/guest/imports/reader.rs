//! `projectionist:events/reader`: earlier events of a stream, never past the one in hand.

use super::convert::event_to_guest;
use crate::guest::bindings::projectionist::events::reader::{Event, Host};
use crate::guest::limits::{MAX_READ_BYTES, MAX_READ_EVENTS};
use crate::guest::state::State;
use crate::store::{ReadLimit, RecordedEvent};

impl Host for State {
    async fn read_stream(
        &mut self,
        stream: String,
        from_version: u64,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<Event>, String>> {
        self.count_host_call()?;
        // The chunk's last event bounds the view: nothing later than what the guest has been handed.
        let Some(up_to) = self.chunk_end else {
            return Ok(Err(
                "events can be read while events are handled, not in setup or teardown".to_owned(),
            ));
        };
        let from_version = i64::try_from(from_version).unwrap_or(i64::MAX);
        self.allowance.sent(stream.len())?;
        let limit = ReadLimit {
            events: limit.min(MAX_READ_EVENTS).into(),
            bytes: MAX_READ_BYTES,
        };
        let store = &self.context()?.store;
        let read = store.read_stream(&stream, from_version, up_to, limit).await;
        match read {
            Ok(events) => {
                let bytes = events.iter().map(RecordedEvent::size_bytes).sum();
                self.allowance.received(bytes)?;
                Ok(Ok(events.into_iter().map(event_to_guest).collect()))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}
