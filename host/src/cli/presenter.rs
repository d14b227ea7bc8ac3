//! What a person sees of a running host: subscriptions being built, then live, and what to try next.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use subscription::Status;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::database::Opened;
use super::report;
use super::words::beginning;
use crate::engine::Notice;
use crate::store::Walls;

/// A subscription says how far it is at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Lines of a failure's message that are printed, and characters of each; `status` has the rest.
const MESSAGE_LINES: usize = 4;
const MESSAGE_CHARS: usize = 500;

/// How often the presenter looks whether everything is live.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub struct Presenter {
    seen: HashMap<String, Seen>,
    psql: Option<String>,
    modules: String,
    said_next: bool,
}

struct Seen {
    status: Option<Status>,
    since: Instant,
    events: usize,
    told: Option<Instant>,
    untold_events: usize,
}

impl Presenter {
    /// Prints where everything is.
    pub async fn begin(modules: &Path, opened: &Opened) -> anyhow::Result<Presenter> {
        let head = opened.store.head().await?;
        println!("Projectionist {}", env!("CARGO_PKG_VERSION"));
        println!("  database   {}", opened.describe());
        println!("  modules    {}", modules.display());
        if opened.store.walls() == Walls::None {
            println!(
                "  guests     run their SQL with all rights of the host's own role (--without-roles)"
            );
        }
        println!(
            "  event log  {}",
            if head == 0 {
                "empty".to_owned()
            } else {
                format!("up to position {}", grouped(head))
            }
        );
        println!();
        let mut seen = HashMap::new();
        for row in opened.store.subscriptions().await? {
            println!("{:<20} {}", row.id, row.status.to_string().to_lowercase());
            seen.insert(row.id, Seen::new(Some(row.status)));
        }
        Ok(Presenter {
            seen,
            psql: opened.psql_hint(),
            modules: modules.display().to_string(),
            said_next: false,
        })
    }

    /// Prints what happens until the host stops.
    pub async fn follow(
        mut self,
        mut notices: broadcast::Receiver<Notice>,
        stop: CancellationToken,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(notice) => self.show(notice),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = look.tick() => self.say_next(),
                () = stop.cancelled() => return,
            }
        }
    }

    fn show(&mut self, notice: Notice) {
        match notice {
            Notice::Registered { subscription, file } => {
                println!("{subscription:<20} new        from {file}");
                self.seen.insert(subscription, Seen::new(Some(Status::New)));
            }
            Notice::Swapped { subscription, file } => println!(
                "{subscription:<20} reloaded   from {file}, takes over with the next batch"
            ),
            Notice::LineSwitched { line, from, to } => {
                let instead =
                    from.map_or_else(String::new, |from| format!(", not {from} any more"));
                println!("{line:<20} readable   as {line}.*, which is {to} now{instead}");
            }
            Notice::SwitchHeldUp { line, to, why } => {
                println!("{line:<20} waits      {to} has caught up, but {why}");
            }
            Notice::Retired { subscription } => {
                println!("{subscription:<20} dropped    it was kept for long enough");
                self.seen.remove(&subscription);
            }
            Notice::Refused { file, reason } => println!("{file:<20} refused    {reason}"),
            Notice::Directory {
                problem: Some(problem),
            } => println!("{:<20} {problem}", "modules"),
            Notice::Directory { problem: None } => {
                println!("{:<20} the directory is back", "modules")
            }
            Notice::Status {
                subscription,
                status,
            } => self.show_status(&subscription, status),
            Notice::Finished { report } => {
                let text = report::text(&report);
                println!("{:<20} finished   {text}", report.subscription);
            }
            Notice::Committed {
                subscription,
                events,
                position,
                horizon,
                took,
                booting,
            } => {
                self.show_batch(&subscription, events, position, horizon, took, booting);
            }
            Notice::Failed {
                subscription,
                class,
                message,
                position,
                retry_after_ms,
            } => {
                let at = position.map_or_else(String::new, |position| {
                    format!(" at event {}", grouped(position))
                });
                let next = retry_after_ms.map_or_else(
                    || "no retry is due: mend the guest, or `projectionist reactivate`".to_owned(),
                    |ms| format!("next attempt in {} s", ms.div_ceil(1_000)),
                );
                let message = beginning(&message, MESSAGE_LINES, MESSAGE_CHARS).join("\n    ");
                println!(
                    "{subscription:<20} failed     {}{at}: {message}; {next}",
                    class.as_str()
                );
            }
            Notice::Skipped {
                subscription,
                position,
                reason,
            } => {
                let reason = beginning(&reason, MESSAGE_LINES, MESSAGE_CHARS).join("\n    ");
                println!(
                    "{subscription:<20} skipped    event {}: {reason}",
                    grouped(position)
                );
            }
        }
    }

    fn show_status(&mut self, subscription: &str, status: Status) {
        let seen = self
            .seen
            .entry(subscription.to_owned())
            .or_insert_with(|| Seen::new(None));
        match status {
            Status::Booting => {
                seen.since = Instant::now();
                println!("{subscription:<20} booting    tables are set up, building from history");
            }
            // What it came to is told by itself.
            Status::Finished => {}
            Status::Active => {
                let took = seen.since.elapsed().as_secs_f64();
                println!(
                    "{subscription:<20} live       {} events in {took:.1} s ({} a second)",
                    grouped(seen.events),
                    per_second(seen.events, took)
                );
            }
            other => println!("{subscription:<20} {}", other.to_string().to_lowercase()),
        }
        seen.status = Some(status);
        seen.untold_events = 0;
    }

    fn show_batch(
        &mut self,
        subscription: &str,
        events: usize,
        position: i64,
        horizon: i64,
        took: Duration,
        booting: bool,
    ) {
        let seen = self
            .seen
            .entry(subscription.to_owned())
            .or_insert_with(|| Seen::new(None));
        seen.events += events;
        seen.untold_events += events;
        let quiet = seen
            .told
            .is_some_and(|told| told.elapsed() < PROGRESS_EVERY);
        if seen.untold_events == 0 || quiet || (booting && position >= horizon) {
            return;
        }
        if booting {
            let percent = position
                .saturating_mul(100)
                .checked_div(horizon)
                .unwrap_or(100);
            println!(
                "{subscription:<20} booting    {percent:>3} %  {} of {}  {} events a second",
                grouped(position),
                grouped(horizon),
                per_second(seen.events, seen.since.elapsed().as_secs_f64())
            );
        } else {
            println!(
                "{subscription:<20} live       +{} events, at {} ({} ms)",
                grouped(seen.untold_events),
                grouped(position),
                took.as_millis()
            );
        }
        seen.told = Some(Instant::now());
        seen.untold_events = 0;
    }

    /// Once everything is live: what a newcomer can do with it.
    fn say_next(&mut self) {
        let all_live = !self.seen.is_empty()
            && self
                .seen
                .values()
                .all(|seen| matches!(seen.status, Some(Status::Active | Status::Finished)));
        if self.said_next || !all_live {
            return;
        }
        self.said_next = true;
        let program = program();
        println!("\nEverything is live. Next, in another terminal:");
        if let (Some(psql), Some(id)) =
            (&self.psql, self.seen.keys().filter_map(|id| line(id)).min())
        {
            println!("  query a read model  {psql} -c '\\dv {id}.*'");
        }
        println!("  see where it is     {program} status --watch");
        println!(
            "  append an event     {program} append --stream application-1 --type A_SUBMITTED --data '{{\"activity\": \"A_SUBMITTED\", \"transition\": \"COMPLETE\", \"amount_requested\": 5000}}'"
        );
        println!(
            "  change a guest      copy its new .wasm into {}: it is reloaded between two batches",
            self.modules
        );
        println!("ctrl-c stops the host.\n");
    }
}

impl Seen {
    fn new(status: Option<Status>) -> Seen {
        Seen {
            status,
            since: Instant::now(),
            events: 0,
            told: None,
            untold_events: 0,
        }
    }
}

fn per_second(events: usize, seconds: f64) -> String {
    grouped((events as f64 / seconds.max(0.001)) as i64)
}

/// The line of a projector: the schema that readers use.
fn line(id: &str) -> Option<&str> {
    let (line, version) = id.rsplit_once('_')?;
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_version.then_some(line)
}

/// How this program was called, so that what is printed can be pasted: from where we are, a path below it is short.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from);
    let called = called.unwrap_or_else(|| PathBuf::from("projectionist"));
    let here = std::env::current_dir().unwrap_or_default();
    let short = called.strip_prefix(&here).unwrap_or(&called);
    short.display().to_string()
}

/// A number with its digits in groups of three.
fn grouped(number: impl TryInto<i64>) -> String {
    let digits = number.try_into().unwrap_or(i64::MAX).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
