//! Hints from the database: something was appended, or an operator changed something. They say no more than "look again".

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Store;

/// Rung by appenders while some host sleeps.
const EVENTS: &str = "projectionist_events";

/// Rung by operators' commands.
const CONTROL: &str = "projectionist_control";

/// How long to wait before another try to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Hears "look again". Register before you look, wait after: what is rung in between is not lost. Many rings are heard as
/// one. Cheap to clone; each clone hears for itself.
#[derive(Clone)]
pub struct Hint(watch::Receiver<()>);

impl Hint {
    /// A hint, and what rings it.
    pub fn new() -> (Ringer, Hint) {
        let (sender, receiver) = watch::channel(());
        (Ringer(sender), Hint(receiver))
    }

    /// From now on counts what is rung.
    pub fn register(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a ring since the last time this was registered or heard. For ever, when nobody is left to ring.
    pub async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Rings a [`Hint`] and all its clones.
pub struct Ringer(watch::Sender<()>);

impl Ringer {
    pub fn ring(&self) {
        self.0.send_replace(());
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
        let task = tokio::spawn(listen(self.pool().clone(), ring_events, ring_control));
        Listener {
            events,
            control,
            task,
        }
    }
}

async fn listen(pool: PgPool, events: Ringer, control: Ringer) {
    while !pool.is_closed() {
        if let Err(error) = listen_once(&pool, &events, &control).await {
            tracing::debug!(%error, "the database cannot be listened to; the tick goes on");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(pool: &PgPool, events: &Ringer, control: &Ringer) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all([EVENTS, CONTROL]).await?;
    events.ring();
    control.ring();
    while let Some(notification) = listener.try_recv().await? {
        match notification.channel() {
            EVENTS => events.ring(),
            _ => control.ring(),
        }
    }
    Ok(())
}
