//! Where sins are watched: a real host with a victim under constant load, one sinner, and what everything else shows.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use projectionist::store::LaneError;

use crate::support::log::column;
use crate::support::modules::bytes_of;
use crate::support::process::compiled_modules;
use crate::support::{HostProcess, Modules, PATIENCE, TestDatabase, eventually, target_dir};

/// Who must not notice anything.
pub const VICTIM: &str = "records_1";

/// Events that the victim is timed with before and while the sinner is at it, at least.
const SAMPLES: usize = 20;

/// An event of the victim that takes longer was held up. Generous, since the machine may be busy with other tests.
const SLOWEST: Duration = Duration::from_secs(5);

/// The same for half of them.
const MEDIAN: Duration = Duration::from_millis(1_000);

/// How long a sin may go on until it is caught, its own limits of a second or less included.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

/// What the host may keep in memory when all is over, above what it had before.
const KEPT_MIB: u64 = 128;

/// Limits that make a sin short.
pub const SHORT: &str = "[limits]\nhandle-timeout-ms = 300\nsetup-timeout-ms = 500\nmemory-mib = 64\n[retry]\nattempts = 0\n";

/// Time enough to use up memory on a busy machine, and little memory.
pub const NARROW: &str =
    "[limits]\nhandle-timeout-ms = 20000\nmemory-mib = 64\n[retry]\nattempts = 0\n";

pub struct Arena {
    pub database: TestDatabase,
    pub modules: Modules,
    pub host: HostProcess,
    resident_mib: u64,
    paced: Vec<Duration>,
    /// How long the sin went on.
    took: Duration,
    /// What the engine's tables said before.
    ledger: Vec<String>,
}

/// How a sin ended.
pub enum Caught {
    /// The subscription has this error.
    Failed(LaneError),
    /// The file was not taken up, for this reason.
    Refused(String),
}

impl Arena {
    /// A host whose victim is at work.
    pub async fn open() -> Arena {
        Arena::open_caching(&compiled_modules()).await
    }

    /// The same, with a cache of compiled modules of its own.
    pub async fn open_caching(cache: &Path) -> Arena {
        Arena::opened(cache, |host| host).await
    }

    /// The same with more words or variables for the host.
    pub async fn open_with(change: impl FnOnce(&mut Command) -> &mut Command) -> Arena {
        Arena::opened(&compiled_modules(), change).await
    }

    async fn opened(cache: &Path, change: impl FnOnce(&mut Command) -> &mut Command) -> Arena {
        let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
        let host = HostProcess::start_caching(database.url(), modules.path(), cache, change);
        database.append_ticks(1).await;
        database.until_seen(VICTIM, 1).await;
        let mut arena = Arena {
            database,
            modules,
            host,
            resident_mib: 0,
            paced: Vec::new(),
            took: Duration::ZERO,
            ledger: Vec::new(),
        };
        for _ in 0..SAMPLES {
            arena.pace().await;
        }
        arena.paced.clear();
        arena.resident_mib = arena.host.resident_mib();
        arena.ledger = arena.ledger().await;
        arena
    }

    /// Appends an event, and sees how long the victim takes to have it.
    pub async fn pace(&mut self) {
        let began = Instant::now();
        let position = self.database.append_ticks(1).await;
        eventually(PATIENCE, async || {
            let seen: Vec<Option<i64>> =
                column(self.database.pool(), "SELECT max(position) FROM records_1.seen").await;
            match seen.first().copied().flatten() {
                Some(seen) if seen >= position => Ok(()),
                seen => Err(format!(
                    "the victim is held up at {seen:?}, {position} was appended; the host says:\n{}",
                    self.host.output()
                )),
            }
        })
        .await;
        self.paced.push(began.elapsed());
    }

    /// Puts the sinner beside the victim, and paces the victim until the sin is caught, and for some events at least.
    pub async fn sin(&mut self, guest: &str, id: &str, settings: &str) -> Caught {
        self.sin_of(&bytes_of(guest), id, settings).await
    }

    pub async fn sin_of(&mut self, guest: &[u8], id: &str, settings: &str) -> Caught {
        self.modules.put_bytes("sinner.toml", settings.as_bytes());
        self.modules.put_bytes("sinner.wasm", guest);
        self.until_caught(async |arena| arena.caught(id).await)
            .await
    }

    /// Paces the victim until there is an answer.
    pub async fn until_caught<T>(&mut self, ask: impl AsyncFn(&Arena) -> Option<T>) -> T {
        let began = Instant::now();
        let mut caught = None;
        while caught.is_none() || self.paced.len() < SAMPLES {
            self.pace().await;
            if caught.is_none() {
                caught = ask(self).await;
                self.took = began.elapsed();
            }
            assert!(
                began.elapsed() < CAUGHT_WITHIN,
                "it is not caught within {CAUGHT_WITHIN:?}; the host says:\n{}",
                self.host.output()
            );
        }
        caught.expect("the loop ends with it")
    }

    async fn caught(&self, id: &str) -> Option<Caught> {
        let files = self.database.store().host_files().await.expect("files");
        let refusal = files
            .into_iter()
            .find(|(_, file)| file.file == "sinner.wasm")
            .and_then(|(_, file)| file.refusal);
        if let Some(refusal) = refusal {
            return Some(Caught::Refused(refusal));
        }
        let known = self.database.store().subscription(id).await;
        known.expect("an answer")?;
        self.database.error(id).await.map(Caught::Failed)
    }

    /// What must hold after every sin; writes the line of the report. Another sin may follow.
    pub async fn unharmed(&mut self, sin: &str, caught_by: &str) {
        self.paced.sort();
        let median = self.paced[self.paced.len() / 2];
        let slowest = self.paced[self.paced.len() - 1];
        assert!(
            slowest < SLOWEST && median < MEDIAN,
            "{sin}: the victim lost its pace: median {median:?}, slowest {slowest:?}"
        );
        assert_eq!(
            self.ledger().await,
            self.ledger,
            "{sin}: the engine's tables"
        );
        self.database.until_all_seen_once(VICTIM).await;
        let most = self.resident_mib + KEPT_MIB;
        eventually(PATIENCE, async || match self.host.resident_mib() {
            now if now <= most => Ok(()),
            now => Err(format!(
                "{sin}: the host keeps {now} MiB, before the sin it had {}",
                self.resident_mib
            )),
        })
        .await;
        report(sin, caught_by, self.took, median, slowest);
        self.paced.clear();
    }

    /// What no sinner may change: the row of the victim, its roles, errors and skipped events, who owns the engine's tables, and
    /// which schemas and large objects there are besides those of guests.
    async fn ledger(&self) -> Vec<String> {
        column(
            self.database.pool(),
            "SELECT s.id || ' ' || s.status || ' ' || s.generation || ' ' || encode(s.module, 'hex') || ' ' || s.settings::text FROM projectionist.subscriptions s WHERE s.id = 'records_1'
             UNION ALL SELECT 'errors ' || count(*) FROM projectionist.lane_errors e WHERE e.subscription = 'records_1'
             UNION ALL (SELECT 'role ' || r.name || ' ' || md5(r.password || r.secret::text) || ' ' || p.rolcanlogin FROM projectionist.roles r JOIN pg_roles p ON p.rolname = r.name WHERE r.subscription = 'records_1' ORDER BY r.name)
             UNION ALL (SELECT 'schema ' || n.nspname || ' of ' || n.nspowner::regrole FROM pg_namespace n WHERE n.nspname !~ '^pg_(temp|toast)' AND NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.id <> 'records_1' AND n.nspname IN (s.id, s.line)) ORDER BY n.nspname)
             UNION ALL SELECT 'large objects ' || count(*) FROM pg_largeobject_metadata
             UNION ALL SELECT 'skipped ' || count(*) FROM projectionist.skipped_events k WHERE k.subscription = 'records_1'
             UNION ALL (SELECT c.relname || ' of ' || c.relowner::regrole || ' ' || coalesce(c.relacl::text, '') FROM pg_class c WHERE c.relnamespace = 'projectionist'::regnamespace ORDER BY c.relname)
             UNION ALL (SELECT 'function ' || p.oid::regprocedure || ' ' || coalesce(p.proacl::text, '') FROM pg_proc p WHERE p.pronamespace IN ('projectionist'::regnamespace, 'public'::regnamespace) ORDER BY 1)",
        )
        .await
    }

    /// Types of all events and how many of each there are: what a sinner wrote into the log would show.
    pub async fn events_by_type(&self) -> Vec<String> {
        column(
            self.database.pool(),
            "SELECT DISTINCT type FROM projectionist.events ORDER BY type",
        )
        .await
    }
}

impl Caught {
    /// The error of a subscription.
    pub fn failed(self) -> LaneError {
        match self {
            Caught::Failed(error) => error,
            Caught::Refused(reason) => panic!("the file was refused: {reason}"),
        }
    }

    /// The reason for which a file was not taken up.
    pub fn refused(self) -> String {
        match self {
            Caught::Refused(reason) => reason,
            Caught::Failed(error) => panic!("it was taken up, and failed: {}", error.message),
        }
    }
}

/// One line for the table at the end of `make hostile`.
fn report(sin: &str, caught_by: &str, took: Duration, median: Duration, slowest: Duration) {
    let folder = target_dir().join("hostile");
    fs::create_dir_all(&folder).expect("a folder for the report");
    let line = format!(
        "{sin}\t{caught_by}\t{} ms\t{} ms\t{} ms\n",
        took.as_millis(),
        median.as_millis(),
        slowest.as_millis()
    );
    fs::write(folder.join(sin.replace(' ', "-")), line).expect("a line of the report");
}

/// A sin that ends with an error of its subscription: the message holds all of these words.
pub async fn fails(
    guest: &str,
    id: &str,
    settings: &str,
    class: &str,
    words: &[&str],
) -> LaneError {
    let mut arena = Arena::open().await;
    let error = arena.sin(guest, id, settings).await.failed();
    assert_eq!(error.class.as_str(), class, "{}", error.message);
    for word in words {
        assert!(
            error.message.contains(word),
            "{word:?} is not in: {}",
            error.message
        );
    }
    assert_eq!(arena.events_by_type().await, ["Tick"]);
    arena
        .unharmed(&guest.replace('_', " "), words.first().unwrap_or(&class))
        .await;
    error
}

/// A sin for which a file is refused: the reason holds all of these words.
pub async fn is_refused(sin: &str, guest: &[u8], words: &[&str]) -> String {
    let mut arena = Arena::open().await;
    let reason = arena.sin_of(guest, "none_1", SHORT).await.refused();
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in: {reason}");
    }
    let known = arena.database.store().subscriptions().await.expect("rows");
    assert_eq!(known.len(), 1, "nothing is registered but the victim");
    assert_eq!(arena.events_by_type().await, ["Tick"]);
    arena
        .unharmed(sin, words.first().unwrap_or(&"refused"))
        .await;
    reason
}
