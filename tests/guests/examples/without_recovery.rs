//! Sin: panics at every event. It has no optional export at all, so nobody can ask it what becomes of them.

#![expect(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package projectionist:test;

        world bare {
            export projectionist:guest/description@0.1.0;
            export projectionist:guest/handler@0.1.0;
        }
    ",
    world: "projectionist:test/bare",
    generate_all,
});

use exports::projectionist::guest::{description, handler};
use projectionist::events::types::Event;
use projectionist::guest::types::{Consistency, Descriptor, Failure, Kind, RunMode};

struct Bare;

impl description::Guest for Bare {
    fn describe() -> Descriptor {
        Descriptor {
            id: "without_recovery_1".to_owned(),
            kind: Kind::Projector,
            group: None,
            filter: Vec::new(),
            run_mode: RunMode::FromBeginning,
            partition_by: "none".to_owned(),
            lanes: 1,
            consistency: Consistency::Eventual,
            max_chunk: 0,
            options: Vec::new(),
        }
    }
}

impl handler::Guest for Bare {
    fn handle(_: Vec<Event>) -> Result<(), Failure> {
        panic!("cannot do anything")
    }
}

#[cfg(target_arch = "wasm32")]
export!(Bare);
