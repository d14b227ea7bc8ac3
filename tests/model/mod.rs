//! Random histories, played by the model and by a real engine over PostgreSQL side by side: after every step both look the
//! same, or the shortest history that parts them is shown.

mod directory;
mod line;
mod operation;
mod picture;
mod real;
mod state;
mod world;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Debug;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use subscription::Status;

use operation::{Operation, operation};
use real::Real;
use world::World;

/// Steps that are taken in all, at least, unless the environment says otherwise.
const DEFAULT_STEPS_MIN: usize = 2_000;
const STEPS_VARIABLE: &str = "PROJECTIONIST_MODEL_STEPS";

/// Steps of one history. Each begins with an empty database.
const STEPS: RangeInclusive<usize> = 40..=60;

/// How long a history that fails is shortened. What is left then is shown.
const SHORTENING: Duration = Duration::from_secs(90);

/// Chooses the histories; another number chooses others.
const SEED_VARIABLE: &str = "PROJECTIONIST_MODEL_SEED";
const DEFAULT_SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_does_what_the_model_says_in_every_history() {
    let seed = number(SEED_VARIABLE).unwrap_or(DEFAULT_SEED);
    let steps_min = number(STEPS_VARIABLE).unwrap_or(DEFAULT_STEPS_MIN);
    let began = Instant::now();
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
    let histories = prop::collection::vec(operation(), STEPS);
    let (mut steps, mut played, mut met) = (0, 0, BTreeSet::new());
    while steps < steps_min {
        let history = histories.new_tree(&mut runner);
        let history = history.expect("any history will do").current();
        if let Err(parting) = play(&history, &mut met).await {
            let (history, parting) = shortest(history, parting).await;
            panic!(
                "{}\nThe shortest history found that shows it, with {SEED_VARIABLE}={seed}:\n{}",
                parting.what,
                listed(&history)
            );
        }
        steps += history.len();
        played += 1;
    }
    let kinds = Status::all().map(Status::name).into_iter();
    let unmet: Vec<&str> = kinds.filter(|kind| !met.contains(*kind)).collect();
    assert!(
        unmet.is_empty() || steps < DEFAULT_STEPS_MIN,
        "no history came to {unmet:?}, so they show little"
    );
    // Past the harness, which keeps what a test that passes prints to itself.
    let told = writeln!(
        io::stderr(),
        "model: {steps} steps of {played} histories agree, seed {seed}, {:.0} s",
        began.elapsed().as_secs_f64()
    );
    told.expect("written");
}

fn number<T: FromStr<Err: Debug>>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("what chooses histories is a number"))
}

/// Where the engine and the model part.
struct Parting {
    /// Steps up to there, that one included.
    steps: usize,
    what: String,
}

/// One history, with a database of its own. `met`: the statuses that subscriptions have had.
async fn play(history: &[Operation], met: &mut BTreeSet<String>) -> Result<(), Parting> {
    let (mut world, mut real) = (World::default(), Real::new().await);
    for (operation, at) in history.iter().zip(1..) {
        let operation = &world.possible(operation);
        let answer = real.apply(operation).await;
        let expected = world.apply(operation, real.once_until().await);
        let parting = |what: String| Parting {
            steps: at,
            what: format!("step {at}, {operation:?}: {what}"),
        };
        if answer != expected {
            let what = format!("the engine answers {answer:?}, the model {expected:?}");
            return Err(parting(what));
        }
        let (seen, expected) = (real.picture().await, world.picture());
        if seen != expected {
            let difference = seen.difference(&expected, ["engine", "model"]);
            return Err(parting(format!("they differ\n{difference}")));
        }
        met.extend(seen.status_names());
    }
    Ok(())
}

/// Leaves out what is not needed for the parting: long pieces first, then steps, as long as there is time.
async fn shortest(history: Vec<Operation>, parting: Parting) -> (Vec<Operation>, Parting) {
    let began = Instant::now();
    let mut shortest = (history[..parting.steps].to_vec(), parting);
    let mut piece = shortest.0.len().div_ceil(2);
    while piece > 0 {
        let mut from = 0;
        while from < shortest.0.len() && began.elapsed() < SHORTENING {
            let mut shorter = shortest.0.clone();
            shorter.drain(from..(from + piece).min(shorter.len()));
            match play(&shorter, &mut BTreeSet::new()).await {
                Err(parting) => {
                    shorter.truncate(parting.steps);
                    shortest = (shorter, parting);
                }
                Ok(()) => from += piece,
            }
        }
        piece /= 2;
    }
    shortest
}

fn listed(history: &[Operation]) -> String {
    let lines = history.iter().zip(1..);
    lines
        .map(|(operation, at)| format!("  {at}. {operation:?}\n"))
        .collect()
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}
