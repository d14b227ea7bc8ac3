//! A made-up log of loan applications, so that people have something to try: the same seed makes the same log.

mod life;

use std::io;

use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{self, ImportLine, Importer, NewEvent, Store, Written};
use life::{Step, live};

/// Applications of one log at most: twenty times as many events are sorted in memory.
pub const MAX_APPLICATIONS: u32 = 100_000;
/// Events of one application, on average.
pub const EVENTS_PER_APPLICATION: u32 = 20;
/// The first case number; the others follow in steps of three.
const FIRST_CASE: u32 = 200_001;
/// When the first application comes in: Tuesday, 2 January 2024, 8:00 UTC.
const FIRST_MS: i64 = 1_704_182_400_000;
/// Time between two applications, on average.
const ARRIVAL_MS: u64 = 18 * 60_000;
/// Events of one transaction when written to a log.
const CHUNK_EVENTS: usize = 5_000;
/// Ids of made-up events are derived below this one.
const NAMESPACE: Uuid = Uuid::from_u128(0x8c0d_1d52_37b1_5b0a_8f4e_d3c9_66b0_a2f7);

/// One made-up event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleEvent {
    pub stream: String,
    pub event_type: String,
    /// JSON objects.
    pub data: String,
    pub metadata: String,
    pub recorded_at: OffsetDateTime,
}

/// Small numbers that look random and follow from the seed (splitmix64). Whole numbers only, so that every machine makes the
/// same log.
struct Dice(u64);

/// The events of so many applications, in the order of time. More than [`MAX_APPLICATIONS`] are not made.
pub fn events(applications: u32, seed: u64) -> impl Iterator<Item = SampleEvent> {
    let mut dice = Dice(seed);
    let mut steps: Vec<Step> = Vec::new();
    let mut submitted_ms = FIRST_MS;
    for number in 0..applications.min(MAX_APPLICATIONS) {
        live(FIRST_CASE + 3 * number, submitted_ms, &mut dice, &mut steps);
        submitted_ms += dice.between(1, 2 * ARRIVAL_MS) as i64;
    }
    steps.sort_by_key(|step| step.at_ms);
    steps.into_iter().map(SampleEvent::from)
}

/// Writes them as lines of JSON, as `projectionist import` reads them.
pub fn write_lines(applications: u32, seed: u64, mut output: impl io::Write) -> io::Result<()> {
    for event in events(applications, seed) {
        writeln!(
            output,
            r#"{{"stream": "{}", "type": "{}", "data": {}, "metadata": {}, "recorded_at": "{}"}}"#,
            event.stream,
            event.event_type,
            event.data,
            event.metadata,
            timestamp(event.recorded_at)
        )?;
    }
    output.flush()
}

/// Takes them into a log. Doing it again changes nothing.
pub async fn import(
    store: &Store,
    applications: u32,
    seed: u64,
    progress: impl Fn(u64),
) -> Result<Written, store::Error> {
    let namespace = Uuid::new_v5(&NAMESPACE, format!("{seed} {applications}").as_bytes());
    let mut lines = events(applications, seed)
        .zip(1..)
        .map(|(event, number)| event.into_line(&namespace, number));
    let mut importer = Importer::new(store);
    let mut total = Written::default();
    loop {
        let chunk: Vec<ImportLine> = lines.by_ref().take(CHUNK_EVENTS).collect();
        if chunk.is_empty() {
            return Ok(total);
        }
        let written = importer.write(&chunk).await?;
        total.imported += written.imported;
        total.already_there += written.already_there;
        progress(total.imported + total.already_there);
    }
}

impl From<Step> for SampleEvent {
    fn from(step: Step) -> SampleEvent {
        let event_type = match step.activity.starts_with("W_") {
            true => format!("{}.{}", step.activity, step.transition),
            false => step.activity.to_owned(),
        };
        let mut data = format!(
            r#"{{"activity": "{}", "transition": "{}""#,
            step.activity, step.transition
        );
        if let Some(resource) = step.resource {
            data.push_str(&format!(r#", "resource": "{resource}""#));
        }
        if let Some(amount) = step.amount_requested {
            data.push_str(&format!(r#", "amount_requested": {amount}"#));
        }
        data.push('}');
        SampleEvent {
            stream: format!("application-{}", step.case),
            event_type,
            data,
            metadata: format!(r#"{{"case": "{}"}}"#, step.case),
            recorded_at: OffsetDateTime::from_unix_timestamp_nanos(
                i128::from(step.at_ms) * 1_000_000,
            )
            .expect("made-up applications end within this century"),
        }
    }
}

impl SampleEvent {
    fn into_line(self, namespace: &Uuid, number: u64) -> ImportLine {
        let json = |text: String| RawValue::from_string(text).expect("made-up data is JSON");
        let mut event = NewEvent::new(self.event_type);
        event.data = json(self.data);
        event.metadata = json(self.metadata);
        event.recorded_at = Some(self.recorded_at);
        let id = Uuid::new_v5(namespace, number.to_string().as_bytes());
        ImportLine {
            number,
            id,
            stream: self.stream,
            event,
        }
    }
}

fn timestamp(at: OffsetDateTime) -> String {
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, both ends included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// Whether something happens that happens so often in a hundred.
    fn percent(&mut self, often: u64) -> bool {
        self.between(1, 100) <= often
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() as u64 - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventLine;

    fn text(applications: u32, seed: u64) -> String {
        let mut lines = Vec::new();
        write_lines(applications, seed, &mut lines).expect("memory can be written");
        String::from_utf8(lines).expect("the lines are text")
    }

    #[test]
    fn a_seed_makes_one_log() {
        assert_eq!(text(50, 7), text(50, 7));
        assert_ne!(text(50, 7), text(50, 8));
    }

    #[test]
    fn an_application_has_twenty_events_on_average() {
        let count = events(2_000, 1).count();
        let average = count as f64 / 2_000.0;
        assert!(
            (18.0..22.0).contains(&average),
            "{average} events an application"
        );
    }

    #[test]
    fn lines_are_events_in_the_order_of_time() {
        let mut last = None;
        for line in text(200, 3).lines() {
            let line = EventLine::parse(line).expect("an event");
            assert!(line.stream.is_some());
            assert!(
                last <= line.event.recorded_at,
                "{line:?} comes before its predecessor"
            );
            last = line.event.recorded_at;
        }
    }

    #[test]
    fn looks_like_a_log_of_loan_applications() {
        let text = text(2, 1);
        insta::assert_snapshot!(text.lines().take(20).collect::<Vec<_>>().join("\n"));
    }
}
