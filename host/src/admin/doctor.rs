//! Whether an installation is sound: what was looked at, what was found, and how to mend it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::guest::{CompileError, Compiler, Module, Refusal, Runtime};
use crate::store::{DEFAULT_CONNECTIONS, Error, Health, Store, Walls, role_connections_for};

/// The oldest PostgreSQL that is supported.
const OLDEST_VERSION: i32 = 140_000;

/// A clock that is off by more than this makes what `status` says of times confusing.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// A loop that is to end after a tenth of a second and takes longer than this is not really stopped.
const LOOP_MAX: Duration = Duration::from_secs(5);

/// The smallest component: it is nothing, and compiles to nothing.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    Good,
    /// It works, and could be better.
    Warning,
    /// A host does not work as it should.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub grade: Grade,
    pub found: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl Finding {
    pub fn good(what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            what,
            grade: Grade::Good,
            found: found.into(),
            mend: None,
        }
    }

    pub fn warning(
        what: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding {
            what,
            grade: Grade::Warning,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }

    pub fn bad(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            grade: Grade::Bad,
            ..Finding::warning(what, found, mend)
        }
    }
}

/// Looks at the database.
pub async fn examine_database(store: &Store) -> Vec<Finding> {
    let asked = SystemTime::now();
    let health = match store.health().await {
        Ok(health) => health,
        Err(error) => {
            return vec![Finding::bad(
                "server",
                told(&error),
                "check that it runs, and --database-url",
            )];
        }
    };
    vec![
        server(&health),
        clock(&health, asked, SystemTime::now()),
        connections(&health),
        log(store).await,
        order(store).await,
        roles(store, &health).await,
        everybody(&health),
    ]
}

/// Looks at what runs guests.
pub async fn examine_guests(runtime: &Runtime, compiler: &Compiler) -> Vec<Finding> {
    vec![epochs(runtime).await, compiling(runtime, compiler).await]
}

fn server(health: &Health) -> Finding {
    let version = format!(
        "PostgreSQL {}.{}, database {}",
        health.version / 10_000,
        health.version % 10_000,
        health.database
    );
    if health.version < OLDEST_VERSION {
        return Finding::bad("server", version, "use PostgreSQL 14 or newer");
    }
    Finding::good("server", version)
}

/// The server was asked between these two moments of our clock.
fn clock(health: &Health, before: SystemTime, after: SystemTime) -> Finding {
    let micros = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    };
    let (before, after) = (micros(before), micros(after));
    let off_us = if health.now_micros < before {
        before - health.now_micros
    } else {
        (health.now_micros - after).max(0)
    };
    let off = Duration::from_micros(off_us.unsigned_abs());
    if off > SKEW_MAX {
        return Finding::warning(
            "clock",
            format!("this machine and the server differ by {} s", off.as_secs()),
            "let both keep time by NTP; retries go by the server's clock and are right all the same",
        );
    }
    Finding::good("clock", "this machine and the server agree")
}

fn connections(health: &Health) -> Finding {
    let wanted = i64::from(DEFAULT_CONNECTIONS + role_connections_for(health.connections_max));
    let free = i64::from(health.connections_max) - health.connections_used;
    let found = format!(
        "{} of {} in use; a host opens up to {wanted}",
        health.connections_used, health.connections_max
    );
    if free < wanted {
        return Finding::warning(
            "connections",
            found,
            "raise max_connections of the server, or lower --role-connections of `run`",
        );
    }
    Finding::good("connections", found)
}

async fn log(store: &Store) -> Finding {
    match store.head().await {
        Ok(head) => Finding::good("event log", format!("there, up to position {head}")),
        Err(error) => Finding::bad("event log", told(&error), "run `projectionist migrate`"),
    }
}

async fn order(store: &Store) -> Finding {
    match store.check_preconditions().await {
        Ok(()) => Finding::good(
            "safe order",
            "a primary server, and the sequence is as it must be",
        ),
        Err(error @ Error::NoSequence { .. }) => {
            Finding::bad("safe order", told(&error), "run `projectionist migrate`")
        }
        Err(error @ Error::Standby) => Finding::bad(
            "safe order",
            told(&error),
            "use the URL of the primary server",
        ),
        Err(error @ Error::UnsafeSequence { .. }) => Finding::bad(
            "safe order",
            told(&error),
            "run the statement that is named as the owner of the sequence",
        ),
        Err(error) => Finding::bad("safe order", told(&error), "check the server"),
    }
}

async fn roles(store: &Store, health: &Health) -> Finding {
    if store.walls() == Walls::None {
        return Finding::warning(
            "roles",
            "the SQL of guests runs with all rights of the host's own role",
            "leave --without-roles out, unless every guest is trusted",
        );
    }
    let role = &health.role;
    match store.examine_walls().await {
        Ok(amiss) if amiss.is_empty() => Finding::good(
            "roles",
            format!("{role} may make roles, and all that are there are right"),
        ),
        Ok(amiss) => Finding::warning(
            "roles",
            format!(
                "the roles of {} are missing or not as they should be",
                amiss.join(", ")
            ),
            "start a host: it makes and mends them",
        ),
        Err(error @ Error::NotMigrated { .. }) => {
            Finding::warning("roles", told(&error), "run `projectionist migrate`")
        }
        Err(error) => Finding::bad(
            "roles",
            told(&error),
            format!(
                "ALTER ROLE \"{role}\" CREATEROLE INHERIT, or trust every guest with --without-roles"
            ),
        ),
    }
}

fn everybody(health: &Health) -> Finding {
    let database = &health.database;
    match (health.public_may_create, health.public_may_make_temporary) {
        (true, _) => Finding::warning(
            "PUBLIC",
            "everybody, guests included, may make tables in the schema public",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        ),
        (false, true) => Finding::warning(
            "PUBLIC",
            "everybody, guests included, may make temporary tables; a batch that kept one is refused",
            format!("REVOKE TEMPORARY ON DATABASE \"{database}\" FROM PUBLIC"),
        ),
        (false, false) => Finding::good("PUBLIC", "nobody may make anything unasked"),
    }
}

async fn epochs(runtime: &Runtime) -> Finding {
    match runtime.stop_a_loop().await {
        Ok(took) if took <= LOOP_MAX => {
            Finding::good("deadlines", "a loop without end was stopped")
        }
        Ok(took) => Finding::warning(
            "deadlines",
            format!(
                "a loop without end was stopped after {} ms only",
                took.as_millis()
            ),
            "this machine is overloaded: give the host a processor of its own",
        ),
        Err(reason) => Finding::bad(
            "deadlines",
            reason,
            "run on a machine that wasmtime supports",
        ),
    }
}

async fn compiling(runtime: &Runtime, compiler: &Compiler) -> Finding {
    match Module::load(runtime, compiler, EMPTY_COMPONENT).await {
        Err(CompileError::Refused(Refusal::WrongWorld { .. })) => {
            Finding::good("compiler", "compiles in a process of its own")
        }
        Err(error) => Finding::bad(
            "compiler",
            error.to_string(),
            "check that the binary is where it was, and that --cache-dir can be written to",
        ),
        Ok(_) => Finding::bad(
            "compiler",
            "an empty component was taken for a guest",
            "this is a bug, please report it",
        ),
    }
}

/// An error with its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health {
            version: 150_018,
            now_micros: 10_000_000,
            connections_max: 100,
            connections_used: 3,
            role: "app".to_owned(),
            is_superuser: false,
            database: "shop".to_owned(),
            public_may_make_temporary: false,
            public_may_create: false,
        }
    }

    fn second(number: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(number)
    }

    #[test]
    fn clocks_may_differ_by_the_time_that_asking_took() {
        let graded = |before, after| clock(&health(), second(before), second(after)).grade;
        assert_eq!(graded(9, 11), Grade::Good);
        assert_eq!(graded(11, 12), Grade::Good);
        assert_eq!(graded(13, 14), Grade::Warning);
        assert_eq!(graded(6, 7), Grade::Warning);
    }

    #[test]
    fn says_what_is_wrong_and_how_to_mend_it() {
        let old = Health {
            version: 130_003,
            connections_used: 90,
            public_may_create: true,
            ..health()
        };
        let findings = [server(&old), connections(&old), everybody(&old)];
        assert!(findings.iter().all(|finding| finding.mend.is_some()));
        assert_eq!(
            findings.map(|finding| finding.grade),
            [Grade::Bad, Grade::Warning, Grade::Warning]
        );
        let good = [
            server(&health()),
            connections(&health()),
            everybody(&health()),
        ];
        assert!(
            good.iter().all(|finding| finding.grade == Grade::Good),
            "{good:?}"
        );
    }
}
