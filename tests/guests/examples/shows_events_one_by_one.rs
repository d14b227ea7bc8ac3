//! No sin: as `shows_events`, without the export by which events come part by part.

#![expect(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package projectionist:test;

        world one-by-one {
            import projectionist:sql/client@0.1.0;
            export projectionist:guest/description@0.1.0;
            export projectionist:guest/lifecycle@0.1.0;
            export projectionist:guest/handler@0.1.0;
        }
    ",
    world: "projectionist:test/one-by-one",
    with: {
        "projectionist:events/types@0.1.0": projectionist_sdk::bindings::projectionist::events::types,
        "projectionist:guest/types@0.1.0": projectionist_sdk::bindings::projectionist::guest::types,
        "projectionist:sql/types@0.1.0": projectionist_sdk::bindings::projectionist::sql::types,
        "projectionist:sql/client@0.1.0": projectionist_sdk::bindings::projectionist::sql::client,
    },
});

use exports::projectionist::guest::{description, handler, lifecycle};
use projectionist_sdk::bindings::projectionist::events::types::Event;
use projectionist_sdk::bindings::projectionist::guest::types::{Descriptor, Failure, Verdict};
use projectionist_sdk::bindings::projectionist::sql::client;
use projectionist_sdk::prelude::{Message, Projector};
use test_guests::shown::{TABLE, shown};

struct OneByOne;

impl description::Guest for OneByOne {
    fn describe() -> Descriptor {
        Projector::new("shows_events_one_by_one_1")
            .on_any(|_: Message| ())
            .describe()
    }
}

impl lifecycle::Guest for OneByOne {
    fn setup() -> Result<(), String> {
        client::execute(TABLE, &[])
            .map(|_| ())
            .map_err(|error| error.message)
    }

    fn teardown() -> Result<(), String> {
        Ok(())
    }
}

impl handler::Guest for OneByOne {
    fn handle(events: Vec<Event>) -> Result<(), Failure> {
        for (event, handled) in events.into_iter().zip(0..) {
            let failed = |message| Failure {
                handled,
                verdict: Verdict::Stop,
                message,
                details: Vec::new(),
            };
            let row =
                shown(&Message::from(event)).map_err(|failure| failed(failure.to_string()))?;
            client::execute("INSERT INTO shown VALUES ($1, $2)", &row)
                .map_err(|error| failed(error.message))?;
        }
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
export!(OneByOne);
