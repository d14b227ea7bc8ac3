//! Sin: appends to streams of the host, for a cause that it never saw, and with a causation, a correlation, an id and a time of
//! its own making. What the host answers goes into a stream that it may write to.

use projectionist_sdk::Payload;
use projectionist_sdk::bindings::projectionist::append::writer::{
    ExpectedVersion, NewEvent, append,
};
use projectionist_sdk::prelude::*;
use serde::Serialize;

const FORGED: &str = r#"{"causation_id": "00000000-0000-4000-8000-000000000001", "correlation_id": "00000000-0000-4000-8000-000000000002", "id": "00000000-0000-4000-8000-000000000003", "recorded_at": "1999-12-31T23:59:59Z", "$causationId": "x"}"#;

#[derive(Serialize)]
struct Answers {
    answers: Vec<String>,
}

fn processor() -> Processor {
    Processor::new("appends_elsewhere").on("Command", sin)
}

fn sin(message: Message, answers: Append) -> Result {
    let cause = message.position();
    let tries = [
        (cause, "projectionist-control"),
        (cause, "projectionist"),
        (cause + 1, "elsewhere"),
        (0, "elsewhere"),
        (u64::MAX, "elsewhere"),
    ];
    let mut said = Vec::new();
    for (cause, stream) in tries {
        said.push(
            match append(cause, stream, ExpectedVersion::Any, &[event()]) {
                Ok(()) => format!("{stream}: taken"),
                Err(error) => format!("{stream}: {}", error.kind),
            },
        );
    }
    append(cause, "own", ExpectedVersion::Any, &[event()])?;
    answers
        .to("answers")
        .event("Answered", &Answers { answers: said })
        .send()
}

fn event() -> NewEvent {
    NewEvent {
        type_: "Forged".to_owned(),
        data: Payload::Json("{}".to_owned()),
        metadata: FORGED.to_owned(),
        tags: Vec::new(),
    }
}

export_processor!(processor);
