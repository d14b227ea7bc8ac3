//! `projectionist:events/reader`: earlier events of a stream, never past the one in hand.

use super::convert::event_to_guest;
use crate::guest::bindings::projectionist::events::reader::{Event, Host};
use crate::guest::state::State;

/// Most events that one call returns.
const MAX_READ_EVENTS: u32 = 10_000;

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
        let read = self
            .context()?
            .store
            .read_stream(&stream, from_version, up_to, limit.min(MAX_READ_EVENTS))
            .await;
        Ok(read
            .map(|events| events.into_iter().map(event_to_guest).collect())
            .map_err(|error| error.to_string()))
    }
}
