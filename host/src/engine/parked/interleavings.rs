//! Parked lanes beside a log, workers, other hosts and a server that loses what it had not written, in any order.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::sync::Notify;

use super::samples::{event, filter, is_woken, key, lane};
use super::{Parked, Refused};
use crate::engine::tail::Tail;
use crate::store::{Page, RecordedEvent};

/// Something that happens to the log, to whoever follows it, or to a lane.
#[derive(Clone, Copy, Debug)]
enum Act {
    Append(usize),
    /// The tail is filled, or begun anew.
    Publish {
        tail: bool,
    },
    Tell,
    /// What a worker does next.
    Step(usize),
    /// A hint.
    Wake(usize),
    Pass,
    /// A server loses what it had not written.
    Lose(usize),
    /// Another host works on the lane.
    Overtake(usize),
}

const TYPES: [&str; 3] = ["a", "b", "c"];
const WANTED: [&str; 4] = ["a", "b", "*", "never"];

fn act() -> impl Strategy<Value = Act> {
    let lane = 0..WANTED.len();
    prop_oneof![
        4 => (0..TYPES.len()).prop_map(Act::Append),
        3 => prop::bool::weighted(0.9).prop_map(|tail| Act::Publish { tail }),
        4 => Just(Act::Tell),
        9 => lane.clone().prop_map(Act::Step),
        1 => lane.clone().prop_map(Act::Wake),
        2 => Just(Act::Pass),
        1 => lane.clone().prop_map(Act::Lose),
        1 => lane.prop_map(Act::Overtake),
    ]
}

/// A worker, as far as parking goes, with what the database knows of its lane.
struct Worker {
    wake: Arc<Notify>,
    position: Option<i64>,
    checkpoint: i64,
    parked: bool,
    /// In the database: where the checkpoint is, and what was handled up to it.
    at: i64,
    handled: Vec<i64>,
    /// Where both were after the batch before the last.
    before: i64,
}

#[derive(Default)]
struct Model {
    parked: Parked,
    tail: Tail,
    log: Vec<RecordedEvent>,
    horizon: i64,
    workers: Vec<Worker>,
}

impl Model {
    fn new() -> Model {
        let worker = |_| Worker {
            wake: Arc::default(),
            position: None,
            checkpoint: 0,
            parked: false,
            at: 0,
            handled: Vec::new(),
            before: 0,
        };
        Model {
            workers: WANTED.iter().map(worker).collect(),
            ..Model::default()
        }
    }

    fn wanted(&self, number: usize, after: i64, up_to: i64) -> Vec<i64> {
        let filter = filter(WANTED[number]);
        let behind = self.log.iter().filter(|event| event.position > after);
        let wanted = behind.filter(|event| event.position <= up_to);
        wanted
            .filter(|event| filter.matches(event.event_type(), event.stream(), &event.tags))
            .map(|event| event.position)
            .collect()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Append(event_type) => {
                let position = self.log.len() as i64 + 1;
                self.log.push(event(position, TYPES[event_type]));
            }
            Act::Publish { tail } => {
                let after = self.tail.up_to();
                self.horizon = self.log.len() as i64;
                let page = Page {
                    events: self.log[after as usize..].to_vec(),
                    up_to: self.horizon,
                };
                match tail {
                    true => self.tail.add(after, page),
                    false => self.tail.begin_at(self.horizon),
                }
            }
            Act::Tell => self.parked.tell(&self.tail, self.horizon),
            Act::Step(number) => self.step(number, false),
            Act::Wake(number) => self.step(number, true),
            Act::Pass => self.pass(),
            Act::Lose(number) => {
                let worker = &mut self.workers[number];
                worker.at = worker.at.min(worker.before);
                worker.handled.retain(|position| *position <= worker.at);
            }
            Act::Overtake(number) => self.batch(number),
        }
    }

    fn batch(&mut self, number: usize) {
        let wanted = self.wanted(number, self.workers[number].at, self.horizon);
        let worker = &mut self.workers[number];
        worker.before = worker.at;
        worker.handled.extend(wanted);
        worker.at = worker.at.max(self.horizon);
    }

    fn step(&mut self, number: usize, hinted: bool) {
        let filter = filter(WANTED[number]);
        let worker = &mut self.workers[number];
        if worker.parked {
            if !is_woken(&worker.wake) && !hinted {
                return;
            }
            worker.parked = false;
            worker.position = self.parked.unpark(&key(number));
            return;
        }
        let page = worker
            .position
            .and_then(|position| self.tail.page(position, self.horizon, &filter, 99));
        match (worker.position, page) {
            (Some(position), _) if position >= self.horizon => {}
            (_, Some(page)) if page.events.is_empty() => worker.position = Some(self.horizon),
            _ => {
                self.parked.works(&key(number));
                self.batch(number);
                let worker = &mut self.workers[number];
                (worker.position, worker.checkpoint) = (Some(worker.at), worker.at);
                return;
            }
        }
        let worker = &mut self.workers[number];
        let lane = lane(
            number,
            worker.checkpoint,
            worker.position.expect("it is known"),
        );
        match self.parked.park(lane, &filter, &worker.wake) {
            Ok(()) => worker.parked = true,
            Err(Refused::TooLate) => {}
            Err(Refused::Lost) => worker.position = None,
        }
    }

    fn pass(&mut self) {
        let due = self.parked.due();
        let mut now = HashMap::new();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if let Some(lane) = due.iter().find(|lane| lane.key == key(number))
                && lane.from == worker.at
            {
                assert!(lane.to <= self.horizon.max(worker.at));
                worker.at = lane.to;
            }
            now.insert(key(number), worker.at);
        }
        self.parked.moved(&due, &now);
        self.check();
    }

    /// What a checkpoint has passed was handled, once, in order.
    fn check(&self) {
        for (number, worker) in self.workers.iter().enumerate() {
            assert_eq!(
                worker.handled,
                self.wanted(number, 0, worker.at),
                "{number}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_is_missed_whatever_happens_in_whichever_order(
        acts in prop::collection::vec(act(), 0..60)
    ) {
        let mut model = Model::new();
        for act in acts {
            model.act(act);
            model.check();
        }
        // In the end everybody is where the log is. What was lost shows when the next event comes.
        for _ in 0..4 {
            model.act(Act::Append(2));
            model.act(Act::Publish { tail: true });
            model.act(Act::Tell);
            for number in 0..WANTED.len() {
                (0..8).for_each(|_| model.act(Act::Step(number)));
            }
            model.act(Act::Pass);
        }
        for (number, worker) in model.workers.iter().enumerate() {
            prop_assert_eq!(&worker.handled, &model.wanted(number, 0, model.horizon));
            prop_assert_eq!(worker.at, model.horizon);
            prop_assert!(worker.parked);
        }
    }
}
