//! The model: what must come of each operation, without a database, an engine or a guest. It shares `Status::on` with the
//! engine and nothing else; what a read model must hold is computed from the list of events.

use std::collections::{BTreeMap, BTreeSet};

use subscription::{Input, Next, Resume, RunMode, Status};

use super::directory::Directory;
use super::line::Line;
use super::operation::{Disturbance, Guest, Operation, Who};
use super::picture::{Answer, Failing, Picture, Standing};
use super::state::{Known, Log, Subscription};

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub log: Log,
    /// Hours that have been waited for.
    clock_h: u32,
    directory: Directory,
    line: Line,
    subscriptions: BTreeMap<Who, Subscription>,
}

impl World {
    /// What of an operation makes sense now. While no version of the line is live, or an operator wants another one to be, it depends
    /// on who comes first when hosts disturb one another; then one catches up in peace.
    pub fn possible(&self, operation: &Operation) -> Operation {
        let is_disturbing = match operation {
            Operation::Disturbed(Disturbance::Killed { .. }) if self.clock_h > 0 => true,
            Operation::Disturbed(_) => !self.line.is_settled(),
            _ => false,
        };
        match is_disturbing {
            true => Operation::CatchUp { limit: None },
            false => operation.clone(),
        }
    }

    /// Does what the operation means. `once_until`: where a guest that runs once ends, as it was found after hosts were disturbed.
    pub fn apply(&mut self, operation: &Operation, once_until: Option<usize>) -> Answer {
        match operation {
            Operation::Append(events) => {
                self.log
                    .events
                    .extend(events.iter().cloned().map(Known::Appended));
            }
            Operation::Put(file, guest) => self.directory.put(*file, *guest),
            Operation::Break(file) => self.directory.spoil(*file),
            Operation::Take(file) => self.directory.take(*file),
            Operation::CatchUp { limit } => self.catch_up(*limit),
            Operation::Disturbed(disturbance) => self.disturbed(disturbance, once_until),
            Operation::SetUp { who, skip_boot } => return self.set_up(*who, *skip_boot),
            Operation::Boot { who, limit } => return self.boot(*who, *limit),
            Operation::Pause(who) => return self.intend(*who, Input::Pause),
            Operation::Reactivate(who) => return self.intend(*who, Input::Reactivate),
            Operation::Retry(who) => return self.intend(*who, Input::RetryDue),
            Operation::Skip(who) => return self.skip(*who),
            Operation::Replay(who) => return self.replay(*who),
            Operation::Refresh(who) => return self.refresh(*who),
            Operation::Rewind {
                who,
                percent,
                keep_rows,
            } => {
                let to = self.log.at(*percent);
                return self.rewind(*who, to, *keep_rows);
            }
            Operation::Teardown { who, force } => return self.tear_down(*who, *force),
            Operation::Remove(who) => return self.remove(*who),
            Operation::Activate(who) => return self.activate(*who),
            Operation::Wait { hours } => self.clock_h += hours,
            Operation::Restart => self.directory.restart(),
        }
        Answer::Nothing
    }

    /// What can be seen.
    pub fn picture(&self) -> Picture {
        let standing = |subscription: &Subscription| Standing {
            status: subscription.status.to_string(),
            checkpoint: subscription.checkpoint,
            generation: subscription.generation,
            module: format!("{:?}", subscription.guest),
            failing: subscription.trouble.as_ref().map(|trouble| Failing {
                class: trouble.class.to_owned(),
                event: trouble.event,
                attempts: trouble.attempts,
                due_in_h: trouble
                    .due_h
                    .map(|due| i64::from(due) - i64::from(self.clock_h)),
            }),
            skipped: subscription.skipped(),
            rows: subscription.rows(&self.log),
        };
        let known = self.subscriptions.iter();
        let live = self
            .line
            .live
            .and_then(|live| self.subscriptions.get(&live));
        Picture {
            live: self.line.live.map(|live| live.id().to_owned()),
            read: live.and_then(|live| live.rows(&self.log)),
            log: self.log.picture(),
            subscriptions: known
                .map(|(who, subscription)| (who.id().to_owned(), standing(subscription)))
                .collect(),
            schemas: self
                .subscriptions
                .keys()
                .map(|who| who.id().to_owned())
                .collect(),
        }
    }

    /// Looks at the directory: new guests, new code, and guests that are gone.
    fn look(&mut self) {
        for (who, files) in self.directory.earlier_guests() {
            let stored = self.subscriptions.get(&who).map(|known| known.guest);
            let speaks = files.iter().find(|(guest, _)| Some(*guest) == stored);
            if let (guest, true) = *speaks.unwrap_or(&files[0]) {
                self.take_up(guest);
            }
        }
        for (who, files) in self.directory.guests() {
            let stored = self.subscriptions.get(&who).map(|known| known.guest);
            let speaks = files.iter().find(|guest| Some(**guest) == stored);
            self.take_up(*speaks.unwrap_or(&files[0]));
        }
        let attached: BTreeSet<Who> = self
            .subscriptions
            .iter()
            .filter(|(_, known)| !matches!(known.status, Status::Detached(_)))
            .map(|(who, _)| *who)
            .collect();
        for who in self.directory.missing(&attached) {
            if let Some(known) = self.subscriptions.get_mut(&who) {
                known.input(Input::GuestMissing);
            }
        }
    }

    /// The guest speaks for its id.
    fn take_up(&mut self, guest: Guest) {
        if let Some(known) = self.subscriptions.get_mut(&guest.who) {
            known.take_over(guest);
        } else if self.line.admits(guest.who, &self.subscriptions) {
            let new = Subscription::register(guest, &self.log);
            self.subscriptions.insert(guest.who, new);
        }
    }

    fn catch_up(&mut self, limit: Option<u32>) {
        self.look();
        self.do_all(limit);
    }

    /// However often it is interrupted, and whoever does a part of it, what comes of it is the same; but when a guest that runs once
    /// begins, the log may have been longer than in peace.
    fn disturbed(&mut self, disturbance: &Disturbance, once_until: Option<usize>) {
        self.look();
        if let Disturbance::Dropped { .. } = disturbance {
            self.directory.restart();
        }
        let (begun, before) = (self.once_until(), self.log.events.len());
        if let Some(once) = self.subscriptions.get_mut(&Who::Once) {
            once.found_until = once_until;
        }
        self.do_all(None);
        if let Some(once) = self.subscriptions.get_mut(&Who::Once) {
            once.found_until = None;
        }
        if let (None, Some(until)) = (begun, self.once_until()) {
            let possible = before..=self.log.events.len();
            assert!(possible.contains(&until), "{until} is not in {possible:?}");
        }
    }

    fn once_until(&self) -> Option<usize> {
        let once = self.subscriptions.get(&Who::Once)?;
        once.boot_until
    }

    fn do_all(&mut self, limit: Option<u32>) {
        let mut left: BTreeMap<Who, Option<u32>> = BTreeMap::new();
        loop {
            let horizon = self.log.events.len();
            self.line.due(&mut self.subscriptions);
            let mut worked = false;
            for (who, known) in &mut self.subscriptions {
                let left = left.entry(*who).or_insert(limit);
                worked |= known.drive(&mut self.log, horizon, self.clock_h, left);
            }
            worked = worked || self.line.switch(&mut self.subscriptions);
            if !worked && self.log.events.len() == horizon {
                return;
            }
        }
    }

    fn set_up(&mut self, who: Who, skip_boot: bool) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        let input = if skip_boot {
            Input::SkipBoot
        } else {
            Input::SetUp
        };
        if known.status.on(input, known.mode()).is_err() {
            return Answer::Refused;
        }
        match known.set_up(input, self.clock_h) {
            true => Answer::Done,
            false => Answer::Failed,
        }
    }

    fn boot(&mut self, who: Who, limit: Option<u32>) -> Answer {
        let horizon = self.log.events.len();
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        if known.status != Status::Booting {
            return Answer::Refused;
        }
        let mut left = limit;
        while known.status == Status::Booting {
            if !known.step(&mut self.log, horizon, self.clock_h, &mut left) {
                return Answer::Limited;
            }
        }
        match known.status {
            Status::Error(_) => Answer::Failed,
            _ => Answer::Done,
        }
    }

    fn intend(&mut self, who: Who, input: Input) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        let pointless = input == Input::RetryDue && !matches!(known.status, Status::Error(_));
        let Ok(Next::Status(next)) = known.status.on(input, known.mode()) else {
            return Answer::Refused;
        };
        if pointless {
            return Answer::Refused;
        }
        known.status = next;
        if input == Input::Reactivate {
            known.trouble = None;
        }
        Answer::Done
    }

    fn skip(&mut self, who: Who) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        let failing = known.trouble.as_ref().and_then(|trouble| trouble.event);
        let (Status::Error(_), Some(event)) = (known.status, failing) else {
            return Answer::Refused;
        };
        known.leave_out(event, "operator");
        known.input(Input::Reactivate);
        Answer::Done
    }

    fn replay(&mut self, who: Who) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        let is_set_up = known.status != Status::New && known.status.resume() != Some(Resume::New);
        let may = who == Who::Answering && is_set_up;
        match known.status {
            Status::Detached(_) => Answer::Refused,
            _ if may => known.replay(&self.log),
            _ => Answer::Refused,
        }
    }

    fn refresh(&mut self, who: Who) -> Answer {
        match self.subscriptions.get_mut(&who) {
            None => Answer::Unknown,
            Some(known) => match known.refresh() {
                true => Answer::Done,
                false => Answer::Refused,
            },
        }
    }

    fn rewind(&mut self, who: Who, to: usize, keep_rows: bool) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        let Ok(Next::Status(next)) = known.status.on(Input::Rewound, known.mode()) else {
            return Answer::Refused;
        };
        if to > known.checkpoint {
            return Answer::Refused;
        }
        if !keep_rows && known.guest.is_faulty() {
            return Answer::Failed;
        }
        known.begin_generation(to, keep_rows);
        known.status = next;
        Answer::Done
    }

    fn tear_down(&mut self, who: Who, force: bool) -> Answer {
        let Some(known) = self.subscriptions.get(&who) else {
            return Answer::Unknown;
        };
        let Status::Detached(resume) = known.status else {
            return Answer::Refused;
        };
        if self.line.is_read_and_not_alone(who, &self.subscriptions) {
            return Answer::Refused;
        }
        let has_tables = resume != Resume::New;
        if has_tables && known.guest.is_faulty() && !force {
            return Answer::Failed;
        }
        self.remove(who)
    }

    fn remove(&mut self, who: Who) -> Answer {
        self.line.forget(who);
        match self.subscriptions.remove(&who) {
            Some(_) => Answer::Done,
            None => Answer::Unknown,
        }
    }

    fn activate(&mut self, who: Who) -> Answer {
        let Some(known) = self.subscriptions.get_mut(&who) else {
            return Answer::Unknown;
        };
        self.line.want(who);
        if self.line.live != Some(who) && known.status.resume().is_some() {
            known.input(Input::Reactivate);
            known.trouble = None;
        }
        Answer::Done
    }
}

impl Guest {
    pub fn is_faulty(self) -> bool {
        self.code == super::operation::Code::Faulty
    }

    pub fn mode(self) -> RunMode {
        match self.who {
            Who::Answering | Who::Now => RunMode::FromNow,
            Who::Beginning | Who::Later => RunMode::FromBeginning,
            Who::Once => RunMode::Once,
        }
    }
}
