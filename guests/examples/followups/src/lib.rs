//! Plans a follow-up for every offer that was sent: an event in the stream `followup-<case>`, due fourteen days later.
//!
//! A processor that appends. The event in hand is the cause of what it appends: the host sets causation and correlation,
//! and derives the new event's id from it, so an offer that is delivered twice is followed up once. What it appends comes
//! round in the same log; it asks for `O_SENT` alone and so never sees its own events.
//!
//! It reads the log from the beginning, so that an imported log gets its follow-ups too. From now, the default of a
//! processor, is the usual choice: effects such as mails for offers of years ago are seldom wanted.

use projectionist_sdk::prelude::*;
use serde::Serialize;

/// An applicant should hear from us again within so many days.
const DUE_AFTER_DAYS: i32 = 14;

/// Handed over together and committed together. A processor gets one event at a time unless it asks for more, so that a
/// failure repeats the effects of no other event; appends with derived ids can be repeated without harm.
const OFFERS_AT_A_TIME: u32 = 100;

/// The event that it appends.
#[derive(Serialize)]
struct FollowUpPlanned<'a> {
    application: &'a str,
    /// Where the offer stands in the log.
    offer_position: u64,
    due: Date,
}

fn processor() -> Processor {
    Processor::new("followups")
        .run_mode(RunMode::FromBeginning)
        .max_chunk(OFFERS_AT_A_TIME)
        .on("O_SENT", plan)
}

fn plan(stream: StreamId, offer: Position, sent: RecordedAt, append: Append) -> Result {
    let application = stream.after("application-")?;
    let due = sent.date().plus_days(DUE_AFTER_DAYS);
    let planned = FollowUpPlanned {
        application,
        offer_position: offer.0,
        due,
    };
    append
        .to(format!("followup-{application}"))
        .event("FollowUpPlanned", &planned)
        .send()
}

export_processor!(processor);
