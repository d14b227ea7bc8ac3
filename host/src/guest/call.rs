//! One call into a guest: with a deadline, and on a thread of its own as soon as the guest keeps one busy.
//!
//! A call that is quick, or that waits for the database, runs on the thread that serves everybody: that costs nothing.
//! One that keeps computing is moved, from where it is, to a thread of its own. Otherwise as many loopers as the host has
//! threads would delay every other subscription, however often they are interrupted.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline};

use super::failure::DeadlineExceeded;
use super::state::State;

/// Time that a call may take beyond its deadline before it is cut off from outside: a host call that waits for the
/// database does not see epochs.
const GRACE: Duration = Duration::from_millis(250);

/// A guest that computes for so long without waiting for anything is busy.
const BUSY_AFTER: Duration = Duration::from_millis(5);

/// A guest that is busy for so long gives way to everybody else who wants a processor.
const NICE_AFTER: Duration = Duration::from_secs(1);

/// What the guest's thread is lowered by then: about a tenth of the share of others.
const NICENESS: i32 = 10;

/// A call that is about to be made, with the time that it may take.
#[derive(Clone)]
pub(super) struct Call {
    name: &'static str,
    limit_ms: u64,
    turn: Turn,
}

impl Call {
    /// Sets the deadline of the store. From now on the clock runs.
    pub fn prepare(store: &mut Store<State>, name: &'static str, limit_ms: u64) -> Call {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        let turn = Turn::default();
        let seen = turn.clone();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Err(DeadlineExceeded {
                    call: name,
                    limit_ms,
                }
                .into());
            }
            seen.note();
            Ok(UpdateDeadline::Yield(1))
        });
        Call {
            name,
            limit_ms,
            turn,
        }
    }

    /// Waits for what the guest does, and not for longer than it may take.
    pub async fn timed<T>(
        &self,
        work: impl Future<Output = wasmtime::Result<T>>,
    ) -> wasmtime::Result<T> {
        let limit = Duration::from_millis(self.limit_ms) + GRACE;
        match tokio::time::timeout(limit, work).await {
            Ok(answer) => answer,
            Err(_) => Err(DeadlineExceeded {
                call: self.name,
                limit_ms: self.limit_ms,
            }
            .into()),
        }
    }

    /// Runs the call, wherever it is best run. When this is dropped, so is the call: at once where it waits, at the next
    /// tick where it computes.
    pub async fn run<T: Send + 'static>(self, call: impl Future<Output = T> + Send + 'static) -> T {
        let mut call: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(call);
        let quick = std::future::poll_fn(|context| {
            self.turn.begin();
            match call.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if self.turn.was_busy() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        match quick.await {
            Some(answer) => answer,
            None => on_own_thread(call).await,
        }
    }
}

/// How long the guest has been computing since it last waited for something.
#[derive(Clone, Default)]
struct Turn(Arc<TurnClock>);

struct TurnClock {
    base: Instant,
    began_us: AtomicU64,
    busy_us: AtomicU64,
}

impl Default for TurnClock {
    fn default() -> TurnClock {
        TurnClock {
            base: Instant::now(),
            began_us: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        }
    }
}

impl Turn {
    fn begin(&self) {
        self.0.began_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// Called while the guest computes, once a tick.
    fn note(&self) {
        let began_us = self.0.began_us.load(Ordering::Relaxed);
        let busy_us = self.now_us().saturating_sub(began_us);
        self.0.busy_us.fetch_max(busy_us, Ordering::Relaxed);
    }

    fn was_busy(&self) -> bool {
        u128::from(self.0.busy_us.load(Ordering::Relaxed)) >= BUSY_AFTER.as_micros()
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.0.base.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Goes on with the call on a thread that serves nobody else. What it waits for is still served by the host's runtime.
async fn on_own_thread<T: Send + 'static>(call: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    let runtime = Handle::current();
    let given_up = CancellationToken::new();
    let _given_up_when_dropped = given_up.clone().drop_guard();
    let (tell, answer) = oneshot::channel();
    thread::Builder::new()
        .name("guest".to_owned())
        .spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(until_given_up(call, given_up))
            }));
            // Nobody listens any more when the call was given up.
            let _ = tell.send(outcome);
        })
        .expect("the machine has a thread for each batch, of which there are few");
    match answer.await {
        Ok(Ok(Some(answer))) => answer,
        Ok(Err(panic)) => resume_unwind(panic),
        // It is given up only when this future is dropped, and then nothing is waiting here.
        Ok(Ok(None)) | Err(_) => std::future::pending().await,
    }
}

/// The answer, or `None` when nobody wants it any more.
async fn until_given_up<T>(
    mut call: Pin<Box<dyn Future<Output = T> + Send>>,
    given_up: CancellationToken,
) -> Option<T> {
    let long = tokio::time::sleep(NICE_AFTER);
    tokio::pin!(long);
    let mut is_nice = false;
    loop {
        tokio::select! {
            biased;
            () = given_up.cancelled() => return None,
            () = &mut long, if !is_nice => {
                give_way();
                is_nice = true;
            }
            answer = &mut call => return Some(answer),
        }
    }
}

/// Lowers the priority of this thread alone, for good. Only Linux has priorities of threads.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!("a busy guest could not be made to give way: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = NICENESS;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the thread away every millisecond, as a guest does, and never waits for anything.
    async fn compute(turn: Turn, for_how_long: Duration) -> String {
        let began = Instant::now();
        while began.elapsed() < for_how_long {
            let slice = Instant::now();
            while slice.elapsed() < Duration::from_millis(10) {
                std::hint::spin_loop();
            }
            turn.note();
            tokio::task::yield_now().await;
        }
        let name = thread::current().name().map(str::to_owned);
        name.unwrap_or_default()
    }

    fn call() -> Call {
        Call {
            name: "handle",
            limit_ms: 10_000,
            turn: Turn::default(),
        }
    }

    #[tokio::test]
    async fn a_busy_call_goes_on_elsewhere_and_a_waiting_one_stays() {
        let busy = call();
        let turn = busy.turn.clone();
        let ran_on = busy.run(compute(turn, Duration::from_millis(50))).await;
        assert_eq!(ran_on, "guest");

        let waiting = call();
        let turn = waiting.turn.clone();
        let ran_on = waiting
            .run(async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                turn.note();
                let name = thread::current().name().map(str::to_owned);
                name.unwrap_or_default()
            })
            .await;
        assert_ne!(ran_on, "guest");
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_ends() {
        struct Ended(Option<oneshot::Sender<()>>);
        impl Drop for Ended {
            fn drop(&mut self) {
                let told = self.0.take().map(|ended| ended.send(()));
                assert!(told.is_some());
            }
        }
        let (tell, ended) = oneshot::channel();
        let endless = call();
        let turn = endless.turn.clone();
        let running = endless.run(async move {
            let _ended = Ended(Some(tell));
            compute(turn, Duration::from_secs(3_600)).await
        });
        let timed_out = tokio::time::timeout(Duration::from_millis(100), running).await;
        assert!(timed_out.is_err());
        ended.await.expect("it was dropped on its own thread");
    }

    #[tokio::test]
    async fn what_waits_for_ever_is_cut_off() {
        let call = Call {
            limit_ms: 1,
            ..call()
        };
        let answer = call
            .timed(std::future::pending::<wasmtime::Result<()>>())
            .await;
        let error = answer.expect_err("it never comes");
        assert!(error.downcast_ref::<DeadlineExceeded>().is_some());
    }
}
