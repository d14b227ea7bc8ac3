//! Hints from the database: something was appended, or an operator changed something. They say no more than "look again", except
//! for an event that came alone: it may be told along with the ring.

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Store;
use super::recorded_event::RecordedEvent;
use super::source::EventSource;

/// Rung by appenders while some host sleeps.
const EVENTS: &str = "projectionist_events";

/// What is rung there for an event that is said on the other channel.
const SAID: &str = "said";

/// Rung by operators' commands.
const CONTROL: &str = "projectionist_control";

/// How long to wait before another try to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// How many events are remembered for those who have not heard them yet. Who comes later looks for himself.
const SAID_AT_MOST: usize = 16;

/// Hears "look again". Register before you look, wait after: what is rung in between is not lost. Many rings are heard as
/// one. Cheap to clone; each clone hears for itself.
#[derive(Clone)]
pub struct Hint {
    rings: watch::Receiver<Rings>,
    /// How many of them this one has dealt with.
    heard: u64,
}

/// What was rung.
#[derive(Default)]
struct Rings {
    count: u64,
    /// The events that were said with the last ones of them, one each.
    said: VecDeque<RecordedEvent>,
}

impl Hint {
    /// A hint, and what rings it.
    pub fn new() -> (Ringer, Hint) {
        let (sender, rings) = watch::channel(Rings::default());
        (Ringer(sender), Hint { rings, heard: 0 })
    }

    /// From now on counts what is rung.
    pub fn register(&mut self) {
        self.heard = self.rings.borrow_and_update().count;
    }

    /// Waits for a ring since the last time this was registered or heard. For ever, when nobody is left to ring.
    pub async fn heard(&mut self) {
        if self.rings.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// All events of the rings since the last time this was asked or registered, in the order in which they were committed. `None`: somebody
    /// rang without saying what for, so look.
    pub fn said(&mut self) -> Option<Vec<RecordedEvent>> {
        let rings = self.rings.borrow_and_update();
        let new = usize::try_from(rings.count - self.heard).unwrap_or(usize::MAX);
        self.heard = rings.count;
        let known = rings.said.len().checked_sub(new)?;
        Some(rings.said.range(known..).cloned().collect())
    }
}

/// Rings a [`Hint`] and all its clones.
pub struct Ringer(watch::Sender<Rings>);

impl Ringer {
    pub fn ring(&self) {
        self.0.send_modify(|rings| {
            rings.count += 1;
            rings.said.clear();
        });
    }

    /// Rings, and says for which event.
    pub fn say(&self, event: RecordedEvent) {
        self.0.send_modify(|rings| {
            rings.count += 1;
            if rings.said.len() == SAID_AT_MOST {
                rings.said.pop_front();
            }
            rings.said.push_back(event);
        });
    }
}

/// Listens until it is dropped, over connections of its own that it replaces when they are lost.
pub struct Listener {
    events: Hint,
    control: Hint,
    task: JoinHandle<()>,
}

impl Listener {
    /// Something was appended while a host slept.
    pub fn events(&self) -> Hint {
        self.events.clone()
    }

    /// An operator changed something.
    pub fn control(&self) -> Hint {
        self.control.clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Store {
    /// Listens in the background. Both hints ring once it does, and after every lost connection: what was rung meanwhile
    /// is unknown.
    pub fn listen(&self) -> Listener {
        let ((ring_events, events), (ring_control, control)) = (Hint::new(), Hint::new());
        // Only the built-in log says its events.
        let is_said = *self.source() == EventSource::built_in();
        let listening = listen(self.pool().clone(), is_said, ring_events, ring_control);
        let task = tokio::spawn(listening);
        Listener {
            events,
            control,
            task,
        }
    }
}

async fn listen(pool: PgPool, is_said: bool, events: Ringer, control: Ringer) {
    while !pool.is_closed() {
        if let Err(error) = listen_once(&pool, is_said, &events, &control).await {
            tracing::debug!(%error, "the database cannot be listened to; the tick goes on");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    pool: &PgPool,
    is_said: bool,
    events: &Ringer,
    control: &Ringer,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    let ring = match is_said {
        true => ring_of(&mut listener).await?,
        false => None,
    };
    let channels = [EVENTS, CONTROL];
    listener
        .listen_all(channels.into_iter().chain(ring.as_deref()))
        .await?;
    events.ring();
    control.ring();
    while let Some(notification) = listener.try_recv().await? {
        let said = notification.payload();
        match notification.channel() {
            // It was said before, in the same transaction.
            EVENTS if said == SAID && ring.is_some() => {}
            EVENTS => events.ring(),
            CONTROL => control.ring(),
            _ => match RecordedEvent::from_said(said) {
                Some(event) => events.say(event),
                None => events.ring(),
            },
        }
    }
    Ok(())
}

/// The channel on which events are said. `None` for whoever may not know it: he looks for them.
async fn ring_of(listener: &mut PgListener) -> Result<Option<String>, sqlx::Error> {
    let ring = sqlx::query_scalar(include_str!("sql/read_ring.sql"));
    match ring.fetch_optional(listener).await {
        Err(sqlx::Error::Database(_)) => Ok(None),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recorded_event::Texts;

    fn event(position: i64) -> RecordedEvent {
        RecordedEvent::bare(position, Texts::new("a", "A", "{}", "{}"))
    }

    fn said(hint: &mut Hint) -> Option<Vec<i64>> {
        let events = hint.said()?;
        Some(events.iter().map(|event| event.position).collect())
    }

    #[test]
    fn what_was_said_is_heard_once_by_each() {
        let (ringer, mut hint) = Hint::new();
        let mut other = hint.clone();
        ringer.say(event(1));
        ringer.say(event(2));
        assert_eq!(said(&mut hint), Some(vec![1, 2]));
        ringer.say(event(3));
        assert_eq!(said(&mut hint), Some(vec![3]));
        assert_eq!(said(&mut hint), Some(vec![]));
        assert_eq!(said(&mut other), Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_ring_that_says_nothing_asks_for_a_look() {
        let (ringer, mut hint) = Hint::new();
        ringer.say(event(1));
        ringer.ring();
        ringer.say(event(2));
        assert_eq!(said(&mut hint), None);
        ringer.say(event(3));
        assert_eq!(said(&mut hint), Some(vec![3]));
    }

    #[test]
    fn more_than_is_remembered_asks_for_a_look() {
        let (ringer, mut hint) = Hint::new();
        let mut early = hint.clone();
        let many = SAID_AT_MOST as i64 + 1;
        (1..=many).for_each(|position| ringer.say(event(position)));
        assert_eq!(said(&mut early), None);
        hint.register();
        ringer.say(event(many + 1));
        assert_eq!(said(&mut hint), Some(vec![many + 1]));
    }
}
