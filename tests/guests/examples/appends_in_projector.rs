//! Sin: a projector that appends events. The SDK would not let it, so it takes the generated bindings.

use projectionist_sdk::Payload;
use projectionist_sdk::bindings::projectionist::append::writer::{
    ExpectedVersion, NewEvent, append,
};
use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("appends_in_projector_1").on("Command", answer)
}

fn answer(message: Message) -> Result {
    let done = NewEvent {
        type_: "Done".to_owned(),
        data: Payload::Json("{}".to_owned()),
        metadata: "{}".to_owned(),
        tags: Vec::new(),
    };
    append(
        message.position(),
        &format!("done-{}", message.stream()),
        ExpectedVersion::Any,
        &[done],
    )?;
    Ok(())
}

export_projector!(projector);
