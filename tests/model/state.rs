//! The model's subscription and the model's log: what one event after the other does.

use std::collections::{BTreeMap, BTreeSet};

use subscription::{Duty, Input, Next, RunMode, Status};

use super::operation::{Guest, Harm, New, Poison, Who};
use super::picture::{Answer, LeftOut, Row};

/// Hours until the first retry, and how many there are; each waits twice as long as the one before.
pub const RETRY_BASE_H: u32 = 1;
pub const RETRY_ATTEMPTS: u32 = 2;

/// Events by their place, from 1.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub events: Vec<Known>,
    /// Commands that were answered: the ids of answers derive from them, so that they are appended once.
    answered: BTreeSet<usize>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Appended(New),
    Answer { command: usize },
}

/// What one subscription has done, and what it is about to do.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub guest: Guest,
    /// The guest whose filter is stored: the first one, or for a processor the one of the last refresh.
    filter_of: Guest,
    pub status: Status,
    pub checkpoint: usize,
    pub generation: i32,
    pub trouble: Option<Trouble>,
    /// Where run mode once ends.
    pub boot_until: Option<usize>,
    /// Where it will end when it begins now, if that is not the end of the log.
    pub found_until: Option<usize>,
    has_tables: bool,
    /// Where each reading of the log began since the tables were made, and in which generation.
    readings: Vec<Reading>,
    left_out: BTreeMap<(i32, usize), LeftOut>,
    /// Handled after all, since the tables were made; each as often as it stands here.
    replayed: Vec<usize>,
    /// The build that handled each event last.
    codes: BTreeMap<usize, char>,
}

/// One pass through a part of the log, over the same tables, by the same guest and filter.
#[derive(Clone, Copy, Debug)]
struct Reading {
    generation: i32,
    after: usize,
    /// An event has to be wanted by all of them to be handled.
    by: [Guest; 2],
    /// `None`: it is the present one, which is as far as the checkpoint.
    up_to: Option<usize>,
}

/// A failure that has been written down.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub class: &'static str,
    pub event: Option<usize>,
    pub attempts: u32,
    pub due_h: Option<u32>,
}

impl Log {
    /// The place behind so many percent of the log.
    pub fn at(&self, percent: usize) -> usize {
        self.events.len() * percent / 100
    }

    pub fn picture(&self) -> Vec<(String, Option<usize>)> {
        let shown = |event: &Known| match event {
            Known::Appended(new) => (new.event_type().to_owned(), None),
            Known::Answer { command } => ("Done".to_owned(), Some(*command)),
        };
        self.events.iter().map(shown).collect()
    }

    fn answer(&mut self, command: usize) {
        if self.answered.insert(command) {
            self.events.push(Known::Answer { command });
        }
    }
}

impl Subscription {
    pub fn register(guest: Guest, log: &Log) -> Subscription {
        let start = match guest.mode() {
            RunMode::FromNow => log.events.len(),
            _ => 0,
        };
        Subscription {
            guest,
            filter_of: guest,
            status: Status::New,
            checkpoint: start,
            generation: 1,
            trouble: None,
            boot_until: None,
            found_until: None,
            has_tables: false,
            readings: Vec::new(),
            left_out: BTreeMap::new(),
            replayed: Vec::new(),
            codes: BTreeMap::new(),
        }
    }

    pub fn mode(&self) -> RunMode {
        self.guest.mode()
    }

    /// Other code for it, unless that contradicts what has been built.
    pub fn take_over(&mut self, found: Guest) {
        let contradicts = found.who != Who::Answering
            && found.wants_ticks_alone() != self.guest.wants_ticks_alone();
        if found != self.guest && !contradicts {
            self.guest = found;
            self.trouble = None;
            self.input(Input::NewCode);
            self.begin_page();
        }
    }

    /// Its guest's filter holds from now on, if it may be changed. Whether it was.
    pub fn refresh(&mut self) -> bool {
        let differs = self.guest.other_filter != self.filter_of.other_filter;
        if self.guest.who != Who::Answering || !differs {
            return false;
        }
        self.filter_of = self.guest;
        self.begin_page();
        true
    }

    /// Hands it what it skipped and did not handle since.
    pub fn replay(&mut self, log: &Log) -> Answer {
        let waiting = self.left_out.iter().filter(|(_, out)| !out.replayed);
        let waiting: BTreeSet<usize> = waiting.map(|((_, event), _)| *event).collect();
        let mut answer = Answer::Nothing;
        for event in waiting {
            if self.harm(event, 1, log).is_some() {
                answer = Answer::Failed;
                continue;
            }
            let same = self.left_out.iter_mut().filter(|((_, at), _)| *at == event);
            same.for_each(|(_, out)| out.replayed = true);
            self.replayed.push(event);
            self.codes.insert(event, self.guest.code.letter());
            if answer == Answer::Nothing {
                answer = Answer::Done;
            }
        }
        answer
    }

    /// What the rules make of it; they allow it.
    pub fn input(&mut self, input: Input) {
        match self.status.on(input, self.mode()) {
            Ok(Next::Status(next)) => self.status = next,
            other => panic!("{input:?} of {}: {other:?}", self.status),
        }
    }

    /// Does all that there is to do. Whether there was anything.
    pub fn drive(
        &mut self,
        log: &mut Log,
        horizon: usize,
        clock_h: u32,
        left: &mut Option<u32>,
    ) -> bool {
        let mut worked = false;
        while self.step(log, horizon, clock_h, left) {
            worked = true;
        }
        worked
    }

    /// One event, or one change of status. `false`: there is nothing to do.
    pub fn step(
        &mut self,
        log: &mut Log,
        horizon: usize,
        clock_h: u32,
        left: &mut Option<u32>,
    ) -> bool {
        match self.status.duty() {
            Duty::Rest => false,
            Duty::AwaitRetry => {
                let due = self.trouble.as_ref().and_then(|trouble| trouble.due_h);
                let is_due = due.is_some_and(|due| due <= clock_h);
                if is_due {
                    self.input(Input::RetryDue);
                }
                is_due
            }
            Duty::SetUp => {
                self.set_up(Input::SetUp, clock_h);
                true
            }
            Duty::Process => self.process(log, horizon, clock_h, left),
        }
    }

    /// Whether setup went well.
    pub fn set_up(&mut self, input: Input, clock_h: u32) -> bool {
        if self.guest.is_faulty() {
            let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
            self.fail("guest-failed", None, failures, Some(0), clock_h);
            return false;
        }
        self.trouble = None;
        self.has_tables = true;
        self.begin_reading();
        self.input(input);
        true
    }

    fn process(
        &mut self,
        log: &mut Log,
        horizon: usize,
        clock_h: u32,
        left: &mut Option<u32>,
    ) -> bool {
        if *left == Some(0) {
            return false;
        }
        let is_once = self.mode() == RunMode::Once;
        let until = match is_once {
            true => *self
                .boot_until
                .get_or_insert(self.found_until.unwrap_or(horizon)),
            false => horizon,
        };
        let target = until.min(horizon);
        let arrives = until <= horizon && (self.status == Status::Booting || is_once);
        if self.checkpoint >= target && !arrives {
            return false;
        }
        let is_wanted = |at: &usize| self.filter_of.handles(&log.events[at - 1]);
        let next = (self.checkpoint + 1..=target).find(is_wanted);
        if let Some(event) = next
            && let Some(poison) = self.harm(event, self.failures_at(event) + 1, log)
        {
            self.suffer(event, &poison, clock_h);
            return true;
        }
        if let Some(event) = next {
            self.handle(event, log);
            *left = left.map(|left| left - 1);
        }
        self.pass(next.unwrap_or(target));
        if self.checkpoint >= target && arrives {
            self.input(Input::CaughtUp);
        }
        true
    }

    fn handle(&mut self, event: usize, log: &mut Log) {
        if !self.guest.handles(&log.events[event - 1]) {
            return;
        }
        self.codes.insert(event, self.guest.code.letter());
        let is_command = log.events[event - 1] == Known::Appended(New::Command);
        if self.guest.who == Who::Answering && is_command {
            log.answer(event);
        }
    }

    /// What the event does to this guest now, if it does it any harm.
    fn harm(&self, event: usize, attempt: u32, log: &Log) -> Option<Poison> {
        let Known::Appended(New::Poison(poison)) = &log.events[event - 1] else {
            return None;
        };
        let spares = poison.harms.is_some_and(|harmed| harmed != self.guest.who)
            || poison.well_from.is_some_and(|well| attempt >= well)
            || poison.well_code == Some(self.guest.code);
        (!spares).then(|| poison.clone())
    }

    fn failures_at(&self, event: usize) -> u32 {
        let trouble = self.trouble.as_ref();
        let same = trouble.filter(|trouble| trouble.event == Some(event));
        same.map_or(0, |trouble| trouble.attempts)
    }

    fn suffer(&mut self, event: usize, poison: &Poison, clock_h: u32) {
        let failures = self.failures_at(event);
        let (class, wish) = match poison.verdict {
            Harm::Skip => return self.leave_out(event, "guest"),
            Harm::Stop => ("guest-failed", None),
            Harm::Retry => ("guest-failed", Some(poison.delay_h)),
            Harm::Trap => ("trap", Some(0)),
        };
        self.fail(class, Some(event), failures, wish, clock_h);
    }

    /// Writes a failure down. `wish`: hours until the retry, 0 for those of the policy; `None`: there is to be no retry.
    fn fail(
        &mut self,
        class: &'static str,
        event: Option<usize>,
        failures: u32,
        wish: Option<u32>,
        clock_h: u32,
    ) {
        let attempts = failures + 1;
        let delay_h = match wish {
            Some(_) if attempts > RETRY_ATTEMPTS => None,
            Some(0) => Some(RETRY_BASE_H << (attempts - 1)),
            other => other,
        };
        self.trouble = Some(Trouble {
            class,
            event,
            attempts,
            due_h: delay_h.map(|delay| clock_h + delay),
        });
        self.input(Input::Failed);
    }

    /// An event is skipped: recorded, and passed.
    pub fn leave_out(&mut self, event: usize, by: &'static str) {
        let replayed = false;
        let out = LeftOut { by, replayed };
        self.left_out.insert((self.generation, event), out);
        self.pass(event);
    }

    fn pass(&mut self, event: usize) {
        self.checkpoint = event;
        let is_over = |trouble: &Trouble| trouble.event.is_none_or(|failing| failing <= event);
        self.trouble = self.trouble.take().filter(|trouble| !is_over(trouble));
    }

    pub fn begin_generation(&mut self, to: usize, keep_rows: bool) {
        match self.readings.last_mut() {
            Some(present) if keep_rows => present.up_to = Some(self.checkpoint),
            _ => {
                self.readings.clear();
                self.replayed.clear();
            }
        }
        self.trouble = None;
        self.boot_until = None;
        self.checkpoint = to;
        self.generation += 1;
        self.begin_reading();
    }

    fn begin_reading(&mut self) {
        self.readings.push(Reading {
            generation: self.generation,
            after: self.checkpoint,
            by: [self.guest, self.filter_of],
            up_to: None,
        });
    }

    /// What comes now is read by another guest or filter.
    fn begin_page(&mut self) {
        if let Some(present) = self.readings.last_mut() {
            present.up_to = Some(self.checkpoint);
            self.begin_reading();
        }
    }

    pub fn skipped(&self) -> Vec<(i32, usize, LeftOut)> {
        let left_out = self.left_out.iter();
        left_out
            .map(|((generation, event), out)| (*generation, *event, out.clone()))
            .collect()
    }

    /// What the read model must hold: every event of the log that each reading has passed, that guest and filter want, and that was
    /// not left out; and what was handled after all.
    pub fn rows(&self, log: &Log) -> Option<Vec<Row>> {
        let mut times: BTreeMap<usize, i64> = BTreeMap::new();
        for event in &self.replayed {
            *times.entry(*event).or_default() += 1;
        }
        for reading in &self.readings {
            for event in reading.after + 1..=reading.up_to.unwrap_or(self.checkpoint) {
                let left_out = self.left_out.contains_key(&(reading.generation, event));
                let handled = reading
                    .by
                    .iter()
                    .all(|guest| guest.handles(&log.events[event - 1]));
                if handled && !left_out {
                    *times.entry(event).or_default() += 1;
                }
            }
        }
        let row = |(event, times)| Row {
            event,
            times,
            code: self
                .codes
                .get(&event)
                .map(char::to_string)
                .unwrap_or_default(),
        };
        self.has_tables
            .then(|| times.into_iter().map(row).collect())
    }
}
