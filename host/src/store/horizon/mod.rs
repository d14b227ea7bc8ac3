//! The horizon: the highest position below which nothing can still appear.
//!
//! A reader that takes `position > last` loses events, because a transaction that took number 7 may commit after number
//! 8 was read. What makes a hole safe to pass is that nobody is left who could fill it:
//!
//! - A transaction that called `nextval` holds `RowExclusiveLock` on the *sequence* until it ends, through savepoints,
//!   rollbacks to them and PREPARE TRANSACTION, and `pg_locks` shows it. The lock is taken before the number is.
//! - So, when a row is visible at the candidate, every number below it has been taken, and each taker either holds the
//!   lock in any *later* statement or has ended before that.
//! - PostgreSQL makes a commit visible *before* it releases the locks of the transaction. So, once a holder is seen to be
//!   gone, every statement that begins afterwards sees what it committed. Readers begin theirs after they got the horizon.
//!
//! It follows that the order is everything: candidate first, then holders in another statement, then the events in a
//! third. A holder list taken in the statement that reads the events would miss what commits in between.
//!
//! What it cannot see: a number that was taken in an *earlier* transaction than the one that inserts it.

mod holder;
mod preconditions;
mod search;

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

pub use holder::Holder;
use search::{Piece, Question, Search};

use super::kept_connection::KeptConnection;
use super::{Armed, Error, EventSource, Page, ReadLimit, RecordedEvent, Store, bell};

/// Positions that one look goes through at most, so that a long way to the head is gone in bounded steps.
const PIECE_ROWS: i64 = 50_000;

/// Positions that are looked at again while waiting for holders: the holes just above the horizon may have been filled.
const PIECE_ROWS_WAITING: i64 = 1_000;

/// Events that one look reads along at most. When there are more, the next look asks for positions alone.
const EVENTS_READ_ALONG: i64 = 256;

/// Bytes of events that one look reads along at most, but one event in any case.
const BYTES_READ_ALONG: usize = 4 * 1024 * 1024;

/// What a look is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Positions,
    Events,
}

/// Events that a look read along: all that there are in `(after, page.up_to]`.
#[derive(Clone, Debug)]
pub struct Along {
    pub after: i64,
    pub page: Page,
}

/// Finds the horizon, one look at a time.
pub struct Horizon {
    store: Store,
    connection: KeptConnection,
    /// What reads events along.
    statement: Arc<str>,
    search: Search,
    /// The last look found more events than it reads along.
    many: bool,
}

/// What one look found.
#[derive(Clone, Debug)]
pub struct Look {
    /// Everything up to here is final. `None` until the writers that were open at the start have ended.
    pub horizon: Option<i64>,
    /// Who has to end before the horizon can reach the candidate.
    pub waiting_for: Vec<Holder>,
    /// The position that the horizon will reach then.
    pub candidate: Option<i64>,
    /// There may be more to find at once.
    pub more: bool,
    /// The events up to the horizon, if they were wished for and read.
    pub along: Option<Along>,
}

impl Horizon {
    /// A search that begins at the present head, without reading what lies below.
    pub fn new(store: Store) -> Horizon {
        Horizon {
            connection: KeptConnection::of(store.pool()),
            statement: store.statement_for_all(),
            store,
            search: Search::default(),
            many: false,
        }
    }

    /// Makes one step. After an error the next look starts collecting holders again: whoever held the lock before a lost
    /// connection may be known by another name now.
    pub async fn look(&mut self) -> Result<Look, Error> {
        self.look_for(Wish::Positions).await
    }

    /// The same, with the events that the step passes if they are few: whoever follows the head needs them next.
    pub async fn look_along(&mut self) -> Result<Look, Error> {
        self.look_for(Wish::Events).await
    }

    async fn look_for(&mut self, wish: Wish) -> Result<Look, Error> {
        let looked = self.try_to_look(wish).await;
        if looked.is_err() {
            self.search.forget_holders();
            self.connection.lose();
        }
        looked
    }

    /// Makes a step by events that were said, as a look would that found them: those of transactions that can be seen. `None` if it takes a look
    /// to make one.
    pub fn hear(&mut self, mut said: Vec<RecordedEvent>) -> Option<Look> {
        let Question::Piece {
            above,
            waiting: false,
        } = self.search.question()
        else {
            return None;
        };
        said.retain(|event| event.position > above);
        said.sort_by_key(|event| event.position);
        let last = said.last().map_or(above, |event| event.position);
        if end_of_run(above, &said) < last {
            return None;
        }
        self.search.saw_piece(&Piece {
            unbroken: last,
            last,
            found: said.len() as i64,
        });
        Some(Look {
            horizon: self.search.horizon(),
            waiting_for: Vec::new(),
            candidate: None,
            more: false,
            along: Some(Along {
                after: above,
                page: Page {
                    events: said,
                    up_to: last,
                },
            }),
        })
    }

    /// Gives the connection back that is kept from look to look.
    pub fn rest(&mut self) {
        self.connection.rest();
    }

    /// [`Store::arm_bell`] over the connection of this one.
    pub async fn arm_bell(&mut self, sleep: Duration) -> Result<Armed, Error> {
        let armed = bell::arm(self.connection.get().await?, sleep).await;
        self.lost_after(armed)
    }

    /// [`Store::disarm_bell`], in the same way.
    pub async fn disarm_bell(&mut self, armed: Armed) -> Result<(), Error> {
        let disarmed = bell::disarm(self.connection.get().await?, armed).await;
        self.lost_after(disarmed)
    }

    /// [`Store::holders`], in the same way.
    pub async fn holders(&mut self) -> Result<Vec<Holder>, Error> {
        let listed = list_holders(self.connection.get().await?, self.store.source()).await;
        self.lost_after(listed)
    }

    fn lost_after<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.connection.lose();
        }
        result
    }

    async fn try_to_look(&mut self, wish: Wish) -> Result<Look, Error> {
        let mut along = None;
        let mut more = false;
        match self.search.question() {
            Question::Head => {
                let connection = self.connection.get().await?;
                let head = read_head(connection, self.store.source()).await?;
                self.search.saw_head(head);
            }
            Question::Piece {
                above,
                waiting: false,
            } if wish == Wish::Events && !self.many => {
                let (piece, events) =
                    read_along(&mut self.connection, &self.statement, above).await?;
                self.many = piece.found >= EVENTS_READ_ALONG;
                more = self.many && piece.unbroken > above;
                self.search.saw_piece(&piece);
                along = Some(Along {
                    after: above,
                    page: events,
                });
            }
            Question::Piece { above, waiting } => {
                let limit = if waiting {
                    PIECE_ROWS_WAITING
                } else {
                    PIECE_ROWS
                };
                let connection = self.connection.get().await?;
                let piece = read_piece(connection, self.store.source(), above, limit).await?;
                more = piece.found == limit && piece.unbroken > above;
                self.many = !waiting && piece.found > EVENTS_READ_ALONG;
                self.search.saw_piece(&piece);
            }
        }
        let mut waiting_for = Vec::new();
        if self.search.is_waiting() {
            let holders = self.holders().await?;
            self.search.saw_holders(&holders);
            waiting_for = self.search.still_open(holders);
        }
        Ok(Look {
            horizon: self.search.horizon(),
            waiting_for,
            candidate: self.search.candidate(),
            more,
            along,
        })
    }
}

impl Store {
    /// The transactions that have taken a position and have not ended, whether or not the horizon waits for them.
    pub async fn holders(&self) -> Result<Vec<Holder>, Error> {
        let mut connection = self.pool().acquire().await?;
        list_holders(&mut connection, self.source()).await
    }
}

async fn read_head(connection: &mut PgConnection, source: &EventSource) -> Result<i64, Error> {
    let sql = source.render(include_str!("../sql/read_head.sql"));
    let query = sqlx::query_scalar(AssertSqlSafe(sql));
    let head: Option<i64> = query
        .fetch_one(connection)
        .await
        .map_err(Error::from_statement)?;
    Ok(head.unwrap_or(0))
}

/// The events above a point and what they say of positions, in one statement and so in one snapshot. Of the events only
/// the run without holes is handed out: what lies above a hole may get company.
async fn read_along(
    connection: &mut KeptConnection,
    statement: &Arc<str>,
    above: i64,
) -> Result<(Piece, Page), Error> {
    let limit = ReadLimit {
        events: EVENTS_READ_ALONG,
        bytes: BYTES_READ_ALONG,
    };
    let page = Store::read_all_over(connection, statement, above, limit).await?;
    let mut events = page.events;
    let (last, found) = (
        events.last().map_or(above, |event| event.position),
        events.len(),
    );
    let unbroken = end_of_run(above, &events);
    events.retain(|event| event.position <= unbroken);
    // Fewer than the limit by number may still be all that the limit by bytes let through.
    let is_all = page.up_to == i64::MAX;
    let piece = Piece {
        unbroken,
        last,
        found: if is_all {
            found as i64
        } else {
            EVENTS_READ_ALONG
        },
    };
    Ok((
        piece,
        Page {
            events,
            up_to: unbroken,
        },
    ))
}

/// The end of the run without holes that begins above a point, or the point itself. The events are in order.
fn end_of_run(above: i64, events: &[RecordedEvent]) -> i64 {
    (above + 1..)
        .zip(events)
        .take_while(|(expected, event)| event.position == *expected)
        .map(|(expected, _)| expected)
        .last()
        .unwrap_or(above)
}

async fn read_piece(
    connection: &mut PgConnection,
    source: &EventSource,
    above: i64,
    limit: i64,
) -> Result<Piece, Error> {
    let sql = source.render(include_str!("../sql/read_positions.sql"));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(above).bind(limit);
    let row = query
        .fetch_one(connection)
        .await
        .map_err(Error::from_statement)?;
    Ok(Piece {
        unbroken: row.try_get("unbroken")?,
        last: row.try_get("last")?,
        found: row.try_get("found")?,
    })
}

async fn list_holders(
    connection: &mut PgConnection,
    source: &EventSource,
) -> Result<Vec<Holder>, Error> {
    let query =
        sqlx::query_as(include_str!("../sql/list_holders.sql")).bind(source.qualified_sequence());
    query
        .fetch_all(connection)
        .await
        .map_err(Error::from_statement)
}
