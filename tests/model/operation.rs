//! What can happen to a host, its directory, its subscriptions and its log: the alphabet of the sequences.

use projectionist::store::{BATCH_FAILPOINTS, FAILPOINTS};
use proptest::prelude::*;
use serde_json::json;

use super::state::Known;
use crate::support::obeys::{Manners, Script};

/// The guests, each with an identity of its own; in the order of their ids, which is the order of the engine's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A processor from now on.
    Answering,
    /// A projector from the beginning.
    Beginning,
    /// The next version of it.
    Later,
    /// A projector from now on that wants two types alone.
    Now,
    /// A projector that runs once.
    Once,
}

/// What a module is: whose, and which build of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guest {
    pub who: Who,
    pub code: Code,
    /// It wants other events than it is known for.
    pub other_filter: bool,
}

/// Builds of one guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    A,
    B,
    /// Its setup and its teardown fail.
    Faulty,
}

/// Files of the directory, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File(pub u8);

/// An event to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    Tick,
    /// Nobody has a handler of its own for it.
    Other,
    Command,
    Poison(Poison),
}

/// What a poisonous event does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Nobody named: everybody.
    pub harms: Option<Who>,
    pub verdict: Harm,
    /// Hours that the guest asks for; 0 leaves them to the policy.
    pub delay_h: u32,
    pub well_from: Option<u32>,
    pub well_code: Option<Code>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Retry,
    Skip,
    Stop,
    Trap,
}

/// One step of a sequence.
#[derive(Clone, Debug)]
pub enum Operation {
    Append(Vec<New>),
    Put(File, Guest),
    /// The file holds no module any more.
    Break(File),
    Take(File),
    /// `run --once`: look at the directory and do what there is to do.
    CatchUp {
        limit: Option<u32>,
    },
    /// The same, but not by one host in peace.
    Disturbed(Disturbance),
    SetUp {
        who: Who,
        skip_boot: bool,
    },
    Boot {
        who: Who,
        limit: Option<u32>,
    },
    Pause(Who),
    Reactivate(Who),
    Retry(Who),
    Skip(Who),
    /// Hands it what it skipped, after all.
    Replay(Who),
    /// Takes over what its guest says of itself now.
    Refresh(Who),
    /// Behind so many percent of the log.
    Rewind {
        who: Who,
        percent: usize,
        keep_rows: bool,
    },
    Teardown {
        who: Who,
        force: bool,
    },
    Remove(Who),
    /// An operator wants this version to be live.
    Activate(Who),
    Wait {
        hours: u32,
    },
    Restart,
}

/// What happens to hosts that catch up. In the end one of them does it whole.
#[derive(Clone, Debug)]
pub enum Disturbance {
    /// The host is dropped after so many times that it went on, and another one takes its place.
    Dropped { after: usize },
    /// A second host on the same database, as a process, kills itself at this point, if it comes to it.
    Killed { failpoint: &'static str },
    /// Two others are at it together, and each may be dropped.
    Company { after: [Option<usize>; 2] },
}

impl Who {
    pub const ALL: [Who; 5] = [
        Who::Answering,
        Who::Beginning,
        Who::Later,
        Who::Now,
        Who::Once,
    ];

    /// The versions of one line, in ascending order.
    pub const VERSIONS: [Who; 2] = [Who::Beginning, Who::Later];

    pub fn id(self) -> &'static str {
        match self {
            Who::Answering => "answers_aa",
            Who::Beginning => "obeys_aa_1",
            Who::Later => "obeys_aa_2",
            Who::Now => "obeys_ab_1",
            Who::Once => "obeys_ac_1",
        }
    }
}

impl Guest {
    pub fn script(self) -> Script {
        let id = self.who.id();
        let (mode, usual, other) = match self.who {
            Who::Answering => ("now", "every", "ticks"),
            Who::Beginning | Who::Later => ("beginning", "every", "ticks"),
            Who::Now => ("now", "ticks", "every"),
            Who::Once => ("once", "every", "ticks"),
        };
        let script = match self.who {
            Who::Answering => Script::processor(id),
            _ => Script::projector(id),
        };
        let manners = match self.code {
            Code::Faulty => Manners::Fails,
            Code::A | Code::B => Manners::Good,
        };
        Script {
            mode,
            filter: if self.other_filter { other } else { usual },
            code: self.code.letter(),
            setup: manners,
            teardown: manners,
            ..script
        }
    }

    /// Whether it wants the types `Tick` and `Poison` alone.
    pub fn wants_ticks_alone(self) -> bool {
        (self.who == Who::Now) != self.other_filter
    }

    /// Whether it has a handler for such an event.
    pub fn handles(self, event: &Known) -> bool {
        match (self.wants_ticks_alone(), event) {
            (true, Known::Appended(New::Tick | New::Poison(_))) => true,
            (true, _) => false,
            (false, Known::Appended(New::Command | New::Poison(_))) => true,
            (false, _) => self.who != Who::Answering,
        }
    }
}

impl Harm {
    const ALL: [Harm; 4] = [Harm::Retry, Harm::Skip, Harm::Stop, Harm::Trap];
}

impl Code {
    pub const ALL: [Code; 3] = [Code::A, Code::B, Code::Faulty];

    pub fn letter(self) -> char {
        match self {
            Code::A => 'a',
            Code::B => 'b',
            Code::Faulty => 'f',
        }
    }
}

impl File {
    pub fn name(self) -> String {
        format!("{}.wasm", char::from(b'a' + self.0))
    }
}

impl New {
    pub fn event_type(&self) -> &'static str {
        match self {
            New::Tick => "Tick",
            New::Other => "Other",
            New::Command => "Command",
            New::Poison(_) => "Poison",
        }
    }

    pub fn data(&self) -> serde_json::Value {
        let New::Poison(poison) = self else {
            return json!({});
        };
        let verdict = match poison.verdict {
            Harm::Retry => "retry",
            Harm::Skip => "skip",
            Harm::Stop => "stop",
            Harm::Trap => "trap",
        };
        json!({
            "harms": poison.harms.map(Who::id).into_iter().collect::<Vec<_>>(),
            "verdict": verdict,
            "delay_ms": poison.delay_h * 3_600_000,
            "well_from": poison.well_from,
            "well_code": poison.well_code.map(Code::letter),
        })
    }
}

/// Any operation; what makes a history goes on happening more often than what ends one.
pub fn operation() -> impl Strategy<Value = Operation> {
    let limit = || prop_oneof![3 => Just(None), 1 => (1_u32..4).prop_map(Some)];
    prop_oneof![
        8 => prop::collection::vec(new(), 1..6).prop_map(Operation::Append),
        7 => (file(), guest()).prop_map(|(file, guest)| Operation::Put(file, guest)),
        1 => file().prop_map(Operation::Break),
        2 => file().prop_map(Operation::Take),
        12 => limit().prop_map(|limit| Operation::CatchUp { limit }),
        4 => disturbance().prop_map(Operation::Disturbed),
        1 => (who(), any::<bool>()).prop_map(|(who, skip_boot)| Operation::SetUp { who, skip_boot }),
        1 => (who(), limit()).prop_map(|(who, limit)| Operation::Boot { who, limit }),
        2 => who().prop_map(Operation::Pause),
        4 => who().prop_map(Operation::Reactivate),
        2 => who().prop_map(Operation::Retry),
        3 => who().prop_map(Operation::Skip),
        2 => who().prop_map(Operation::Replay),
        2 => who().prop_map(Operation::Refresh),
        2 => (who(), 0_usize..=100, any::<bool>())
            .prop_map(|(who, percent, keep_rows)| Operation::Rewind { who, percent, keep_rows }),
        1 => (who(), any::<bool>()).prop_map(|(who, force)| Operation::Teardown { who, force }),
        1 => who().prop_map(Operation::Remove),
        2 => prop::sample::select(Who::VERSIONS.as_slice()).prop_map(Operation::Activate),
        4 => (1_u32..5).prop_map(|hours| Operation::Wait { hours }),
        1 => Just(Operation::Restart),
    ]
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let failpoint = || prop::sample::select([&BATCH_FAILPOINTS[..], &FAILPOINTS[3..13]].concat());
    let after = || 1_usize..300;
    prop_oneof![
        6 => after().prop_map(|after| Disturbance::Dropped { after }),
        2 => failpoint().prop_map(|failpoint| Disturbance::Killed { failpoint }),
        6 => [prop::option::of(after()), prop::option::of(after())]
            .prop_map(|after| Disturbance::Company { after }),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop::sample::select(Who::ALL.as_slice())
}

fn file() -> impl Strategy<Value = File> {
    (0_u8..5).prop_map(File)
}

fn guest() -> impl Strategy<Value = Guest> {
    let code = prop_oneof![4 => Just(Code::A), 4 => Just(Code::B), 1 => Just(Code::Faulty)];
    let other_filter = prop_oneof![12 => Just(false), 1 => Just(true)];
    (who(), code, other_filter).prop_map(|(who, code, other_filter)| Guest {
        who,
        code,
        other_filter,
    })
}

fn new() -> impl Strategy<Value = New> {
    prop_oneof![
        5 => Just(New::Tick),
        2 => Just(New::Other),
        2 => Just(New::Command),
        2 => poison().prop_map(New::Poison),
    ]
}

fn poison() -> impl Strategy<Value = Poison> {
    (
        prop::option::of(who()),
        prop::sample::select(Harm::ALL.as_slice()),
        0_u32..3,
        prop::option::of(2_u32..4),
        prop::option::of(prop::sample::select(&Code::ALL[..2])),
    )
        .prop_map(|(harms, verdict, delay_h, well_from, well_code)| Poison {
            harms,
            verdict,
            delay_h,
            well_from,
            well_code,
        })
}
