//! `projectionist:append/writer`: what a processor appends, held back until just before the commit.
//!
//! Ids derive from (line, cause position, ordinal), so that a redelivered event appends nothing twice. Causation and
//! correlation are set here and cannot be forged.

use subscription::EventPart;
use uuid::Uuid;

use crate::guest::bindings::projectionist::append::writer::{
    Error, ExpectedVersion, Host, NewEvent as GuestEvent,
};
use crate::guest::bindings::projectionist::events::types::Payload;
use crate::guest::state::State;
use crate::store::{self, NewEvent, PendingAppend};

/// The name space of derived event ids; any constant will do, as long as it never changes.
const DERIVED_IDS: Uuid = Uuid::from_u128(0x8c1f_5ad0_6b0e_4f6b_9d55_70a1_0b6c_6a01);

/// No guest appends to the streams of the host.
const RESERVED_STREAMS: &str = "projectionist";

impl Host for State {
    async fn append(
        &mut self,
        cause: u64,
        stream: String,
        expected: ExpectedVersion,
        events: Vec<GuestEvent>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.batch()?;
        // What is dropped is not appended, and batches are larger meanwhile.
        if !self.context()?.muted {
            self.allowance.appended(events.len().max(1))?;
        }
        self.allowance
            .sent(stream.len() + events.iter().map(size_bytes).sum::<usize>())?;
        Ok(self.hold_append(cause, stream, expected, events))
    }
}

impl State {
    fn hold_append(
        &mut self,
        cause: u64,
        stream: String,
        expected: ExpectedVersion,
        events: Vec<GuestEvent>,
    ) -> Result<(), Error> {
        if !(self.parts.has(EventPart::Id) && self.parts.has(EventPart::Causation)) {
            return Err(refused(
                "denied",
                "a guest that appends needs the ids of its events: name `id` and `causation` in the option `event-parts`".to_owned(),
            ));
        }
        let Some(causing) = self.cause(cause) else {
            return Err(refused(
                "bad-parameter",
                format!("the cause {cause} is not the position of an event in hand"),
            ));
        };
        if stream.starts_with(RESERVED_STREAMS) {
            return Err(refused(
                "denied",
                format!("streams whose names begin with `{RESERVED_STREAMS}` are the host's own"),
            ));
        }
        let expected = match expected {
            ExpectedVersion::Any => store::ExpectedVersion::Any,
            ExpectedVersion::NoStream => store::ExpectedVersion::NoStream,
            ExpectedVersion::Exactly(version) => {
                store::ExpectedVersion::Exactly(i64::try_from(version).map_err(|_| {
                    refused(
                        "bad-parameter",
                        format!("no stream has the version {version}"),
                    )
                })?)
            }
        };
        let mut held = Vec::with_capacity(events.len());
        for event in events {
            held.push(self.derive(cause, &causing, event)?);
        }
        // Checked like any other, and dropped: the version before has had this effect.
        if self.context().is_ok_and(|context| context.muted) {
            return Ok(());
        }
        if let Some(batch) = self.batch.as_deref_mut() {
            batch.append(PendingAppend {
                stream,
                expected,
                events: held,
            });
        }
        Ok(())
    }

    /// What an append may name as its cause: an event in hand.
    fn cause(&self, position: u64) -> Option<Cause> {
        let place = self
            .in_hand
            .binary_search_by_key(&position, |event| event.position.unsigned_abs());
        let event = self.in_hand.get(place.ok()?)?;
        Some(Cause {
            id: event.id,
            correlation_id: event.correlation_id,
        })
    }

    fn derive(
        &mut self,
        cause: u64,
        causing: &Cause,
        event: GuestEvent,
    ) -> Result<NewEvent, Error> {
        let Payload::Json(data) = event.data else {
            return Err(refused(
                "unsupported-type",
                "events are appended as JSON; put bytes into a JSON string".to_owned(),
            ));
        };
        let line = self
            .context()
            .map_or_else(|_| String::new(), |context| context.line.clone());
        let ordinal = self.append_ordinals.entry(cause).or_insert(0);
        let name = format!("{}|{cause}|{ordinal}", line);
        *ordinal += 1;
        let metadata = if event.metadata.is_empty() {
            "{}".to_owned()
        } else {
            event.metadata
        };
        Ok(NewEvent {
            id: Some(Uuid::new_v5(&DERIVED_IDS, name.as_bytes())),
            event_type: event.type_,
            data: parsed("data", &data)?,
            metadata: parsed("metadata", &metadata)?,
            tags: event.tags,
            causation_id: Some(causing.id),
            correlation_id: Some(causing.correlation_id.unwrap_or(causing.id)),
            recorded_at: None,
        })
    }
}

/// The event that an append follows from.
struct Cause {
    id: Uuid,
    correlation_id: Option<Uuid>,
}

/// What an event weighs.
fn size_bytes(event: &GuestEvent) -> usize {
    let data = match &event.data {
        Payload::Json(text) => text.len(),
        Payload::Bytes(bytes) => bytes.len(),
    };
    let tags: usize = event.tags.iter().map(String::len).sum();
    event.type_.len() + data + event.metadata.len() + tags
}

fn parsed(what: &str, text: &str) -> Result<Box<serde_json::value::RawValue>, Error> {
    serde_json::from_str(text).map_err(|error| {
        refused(
            "bad-parameter",
            format!("the {what} of an appended event is not JSON: {error}"),
        )
    })
}

fn refused(kind: &str, message: String) -> Error {
    Error {
        kind: kind.to_owned(),
        message,
        retryable: false,
        extras: Vec::new(),
    }
}
