//! What a frozen host left open: its session holds a lane, and another host ends it.
//!
//! The server ends such a session by itself, unless the guest talked it out of that; so this comes later than the server would.

use super::shared::Shared;

/// Makes a host impatient with others, for tests: the times below. Only in builds with debug assertions.
pub const STUCK_TIMES_VARIABLE: &str = "PROJECTIONIST_STUCK_TIMES";

/// A session is stuck when it is idle in a transaction for so many times as long as the server should let it.
const STUCK_TIMES: f64 = 2.0;

/// Heartbeats between two looks. An impatient host looks at each.
const BEATS_BETWEEN_LOOKS: u32 = 15;

/// When this host takes another for frozen.
pub(super) struct Frozen {
    times: f64,
    beats_between: u32,
}

impl Frozen {
    pub fn new() -> Frozen {
        match impatience() {
            Some(times) => Frozen {
                times,
                beats_between: 1,
            },
            None => Frozen {
                times: STUCK_TIMES,
                beats_between: BEATS_BETWEEN_LOOKS,
            },
        }
    }

    /// At a heartbeat: ends what is stuck, when it is time to look.
    pub async fn look(&self, shared: &Shared, beats: u32) {
        if beats.is_multiple_of(self.beats_between)
            && let Err(error) = shared.store.end_stuck_sessions(self.times).await
        {
            tracing::debug!("sessions of frozen hosts could not be ended: {error}");
        }
    }
}

fn impatience() -> Option<f64> {
    if !cfg!(debug_assertions) {
        return None;
    }
    std::env::var(STUCK_TIMES_VARIABLE).ok()?.parse().ok()
}
