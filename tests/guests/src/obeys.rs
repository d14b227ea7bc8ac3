//! Guests that do what a script and the events tell. The script stands in their bytes, where tests write another one of the
//! same length: so one build gives guests of many ids, run modes and faults.
//!
//! Every event that they handle is a row of `seen`: how often, by which code, at which attempt, and what the guest was told.
//! An event of the type `Poison` says in its data whom it harms, how, and from which attempt or code on it does not.

use std::hint::black_box;

use projectionist_sdk::prelude::*;
use serde::Deserialize;

use crate::{POISON, answer};

const CREATE_SEEN: &str = "CREATE TABLE seen (
    position bigint PRIMARY KEY,
    times bigint NOT NULL,
    code text NOT NULL,
    attempt bigint NOT NULL,
    live boolean NOT NULL,
    retry_context text
)";
const SEE: &str =
    "INSERT INTO seen (position, times, code, attempt, live, retry_context) VALUES ($1, 1, $2, $3, $4, $5)
    ON CONFLICT (position) DO UPDATE
    SET times = seen.times + 1, code = excluded.code, attempt = excluded.attempt, live = excluded.live,
        retry_context = excluded.retry_context";

/// Calls that are open when a deep trap happens.
const FRAMES: u32 = 500;

/// Fields of fixed widths, filled up with `_`: `id=obeys_aa_1 mode=beginning filter=every code=a setup=good teardown=good`.
#[derive(Clone, Copy)]
struct Script(&'static str);

/// What an event of the type `Poison` says of itself.
#[derive(Deserialize)]
struct Poison {
    /// Ids of the guests that it harms; all when there are none.
    #[serde(default)]
    harms: Vec<String>,
    /// `retry`, `skip`, `stop`, `trap`, or `deep` for a trap far down the stack.
    verdict: String,
    /// What its message is lengthened by.
    #[serde(default)]
    padding_bytes: usize,
    #[serde(default)]
    delay_ms: u32,
    /// Harmless from this attempt on.
    well_from: Option<u32>,
    /// Harmless to this code.
    well_code: Option<String>,
}

/// The projector of a script.
pub fn projector(script: &'static str) -> Projector {
    let script = Script::new(script);
    let projector = Projector::new(script.field("id"))
        .run_mode(script.run_mode())
        .setup(move |sql: Sql| script.set_up(&sql))
        .teardown(move || script.good("teardown"));
    let handle =
        move |message: Message, sql: Sql, context: Context| script.handle(&message, &sql, &context);
    match script.field("filter") {
        "ticks" => projector.on("Tick", handle).on(POISON, handle),
        _ => projector.on_any(handle),
    }
}

/// The processor of a script: it answers a `Command` with `Done`, or takes ticks instead.
pub fn processor(script: &'static str) -> Processor {
    let script = Script::new(script);
    let handle =
        move |message: Message, sql: Sql, context: Context| script.handle(&message, &sql, &context);
    let processor = Processor::new(script.field("id"))
        .run_mode(script.run_mode())
        .setup(move |sql: Sql| script.set_up(&sql))
        .teardown(move || script.good("teardown"))
        .on(POISON, handle);
    match script.field("filter") {
        "ticks" => processor.on("Tick", handle),
        _ => processor.on("Command", answer).on("Command", handle),
    }
}

impl Script {
    /// The compiler must not know what the script says: tests change it in the built component.
    fn new(text: &'static str) -> Script {
        Script(black_box(text))
    }

    fn field(self, name: &str) -> &'static str {
        let value = |field: &'static str| field.strip_prefix(name)?.strip_prefix('=');
        let value = self.0.split(' ').find_map(value);
        value.map_or("", |value| value.trim_end_matches('_'))
    }

    fn run_mode(self) -> RunMode {
        match self.field("mode") {
            "now" => RunMode::FromNow,
            "once" => RunMode::Once,
            mode => match mode.strip_prefix("after-").map(str::parse) {
                Some(Ok(position)) => RunMode::FromPosition(position),
                _ => RunMode::FromBeginning,
            },
        }
    }

    fn set_up(self, sql: &Sql) -> Result {
        sql.execute(CREATE_SEEN, &[])?;
        self.good("setup")
    }

    fn good(self, what: &str) -> Result {
        match self.field(what) {
            "good" => Ok(()),
            _ => Err(Failure::retry(0, format!("{what} does not want to"))),
        }
    }

    fn handle(self, message: &Message, sql: &Sql, context: &Context) -> Result {
        if message.event_type() == POISON {
            self.obey(&message.data()?, message, sql, context)?;
        }
        see(message, sql, context, self.field("code"))
    }

    fn obey(self, poison: &Poison, message: &Message, sql: &Sql, context: &Context) -> Result {
        let (id, code, attempt) = (self.field("id"), self.field("code"), context.attempt());
        let harms = poison.harms.is_empty() || poison.harms.iter().any(|harmed| harmed == id);
        let well = poison.well_from.is_some_and(|well| attempt >= well)
            || poison.well_code.as_deref() == Some(code);
        if !harms || well {
            return Ok(());
        }
        // Something to roll back, and something to remember.
        see(message, sql, context, "poisoned")?;
        let earlier = context.retry_context().unwrap_or_default();
        context.set_retry_context(&format!("{earlier}{attempt} "));
        let padding = "x".repeat(poison.padding_bytes);
        let text = format!("poison at position {}{padding}", message.position());
        Err(match poison.verdict.as_str() {
            "trap" => panic!("{text}"),
            "deep" => fall(FRAMES, &text),
            "skip" => Failure::skip(text),
            "stop" => Failure::stop(text),
            _ => Failure::retry(poison.delay_ms, text),
        })
    }
}

/// Calls itself, then panics.
#[inline(never)]
fn fall(frames: u32, text: &str) -> Failure {
    assert!(frames > 0, "{text}");
    black_box(fall(frames - 1, text))
}

fn see(message: &Message, sql: &Sql, context: &Context, code: &str) -> Result {
    let position = i64::try_from(message.position())?;
    let attempt = i64::from(context.attempt());
    let seen = params![
        position,
        code,
        attempt,
        context.live(),
        context.retry_context()
    ];
    sql.execute(SEE, &seen)?;
    Ok(())
}
