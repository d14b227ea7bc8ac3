//! What a guest may still do in its batch: calls, statements, bytes in and out, appends, log lines.

use super::limits::{Exceeded, Limits, mib};

/// Counts down. What is used up ends the call of the guest, except for log lines, which are dropped.
pub(super) struct Allowance {
    limits: Limits,
    host_calls: u64,
    statements: u64,
    sent_bytes: u64,
    received_bytes: u64,
    appended_events: u64,
    log_lines: u64,
}

/// What becomes of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogLine {
    Kept,
    /// It is dropped, and so will be those after it: worth a word.
    FirstDropped,
    Dropped,
}

impl Allowance {
    pub fn new(limits: &Limits) -> Allowance {
        Allowance {
            limits: *limits,
            host_calls: 0,
            statements: 0,
            sent_bytes: 0,
            received_bytes: 0,
            appended_events: 0,
            log_lines: 0,
        }
    }

    pub fn host_call(&mut self) -> Result<(), Exceeded> {
        count(
            &mut self.host_calls,
            1,
            self.limits.host_calls,
            "host-calls",
            "the guest called the host more often in one batch",
        )
    }

    pub fn statements(&mut self, more: usize) -> Result<(), Exceeded> {
        count(
            &mut self.statements,
            more,
            self.limits.statements,
            "statements",
            "the guest ran more statements in one batch",
        )
    }

    /// How many it ran.
    pub fn statements_run(&self) -> u64 {
        self.statements
    }

    /// Whether it is far from the limits of what it runs and sends.
    pub fn is_ample(&self) -> bool {
        let sent_max = self.limits.sent_mib.saturating_mul(1024 * 1024);
        self.statements < self.limits.statements / 4 && self.sent_bytes < sent_max / 4
    }

    pub fn sent(&mut self, bytes: usize) -> Result<(), Exceeded> {
        count_bytes(
            &mut self.sent_bytes,
            bytes,
            self.limits.sent_mib,
            "sent-mib",
            "the guest handed more data to the host in one batch",
        )
    }

    pub fn received(&mut self, bytes: usize) -> Result<(), Exceeded> {
        count_bytes(
            &mut self.received_bytes,
            bytes,
            self.limits.received_mib,
            "received-mib",
            "the guest read more data in one batch",
        )
    }

    pub fn appended(&mut self, events: usize) -> Result<(), Exceeded> {
        count(
            &mut self.appended_events,
            events,
            self.limits.appended_events,
            "appended-events",
            "the guest appended more events in one batch",
        )
    }

    pub fn log_line(&mut self) -> LogLine {
        self.log_lines = self.log_lines.saturating_add(1);
        match self.log_lines.checked_sub(self.limits.log_lines) {
            None | Some(0) => LogLine::Kept,
            Some(1) => LogLine::FirstDropped,
            Some(_) => LogLine::Dropped,
        }
    }

    /// How many lines are passed on.
    pub fn log_lines_max(&self) -> u64 {
        self.limits.log_lines
    }
}

fn count(
    used: &mut u64,
    more: usize,
    max: u64,
    name: &'static str,
    did: &str,
) -> Result<(), Exceeded> {
    let total = used.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    if total > max {
        return Err(Exceeded::new(name, max, did));
    }
    *used = total;
    Ok(())
}

fn count_bytes(
    used: &mut u64,
    more: usize,
    max_mib: u64,
    name: &'static str,
    did: &str,
) -> Result<(), Exceeded> {
    count(used, more, mib(max_mib), name, did).map_err(|exceeded| Exceeded {
        value: max_mib,
        ..exceeded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_told_by_name() {
        let mut allowance = Allowance::new(&Limits {
            host_calls: 2,
            sent_mib: 1,
            ..Limits::default()
        });
        assert!(allowance.host_call().is_ok());
        assert!(allowance.host_call().is_ok());
        let calls = allowance.host_call().expect_err("used up");
        assert_eq!((calls.name, calls.value), ("host-calls", 2));
        assert!(allowance.sent(1024 * 1024).is_ok());
        let bytes = allowance.sent(1).expect_err("used up");
        assert_eq!((bytes.name, bytes.value), ("sent-mib", 1));
    }

    #[test]
    fn log_lines_are_dropped_and_that_is_said_once() {
        let mut allowance = Allowance::new(&Limits {
            log_lines: 1,
            ..Limits::default()
        });
        let lines = [(); 4].map(|()| allowance.log_line());
        use LogLine::{Dropped, FirstDropped, Kept};
        assert_eq!(lines, [Kept, FirstDropped, Dropped, Dropped]);
    }
}
