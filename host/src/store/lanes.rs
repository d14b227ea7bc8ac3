//! The lanes of subscriptions as `status` and the worker see them: checkpoints, and the error that holds one up.

use sqlx::Row;
use sqlx::postgres::PgRow;
use subscription::{ErrorClass, Status};
use time::OffsetDateTime;

use super::subscriptions::{change_status, notify_control, read_digest};
use super::{Digest, Error, Store};

/// Longest message of an error that is kept, in bytes.
pub const MAX_ERROR_MESSAGE_BYTES: usize = 256 * 1024;

/// Longest backtrace of an error that is kept, in bytes.
pub const MAX_BACKTRACE_BYTES: usize = 64 * 1024;

/// Longest output of a guest that is kept with an error, in bytes.
pub const MAX_ERROR_OUTPUT_BYTES: usize = 64 * 1024;

/// The name of a lane: a subscription and a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    pub subscription: String,
    pub lane: i32,
}

/// Where a lane stands.
#[derive(Clone, Debug)]
pub struct Lane {
    pub key: LaneKey,
    pub position: i64,
    pub moved_at: OffsetDateTime,
    pub error: Option<LaneError>,
}

/// Why a lane does not go on.
#[derive(Clone, Debug)]
pub struct LaneError {
    pub class: ErrorClass,
    /// The chain of causes, outermost first.
    pub message: String,
    /// The failing event, when one event is known to be it.
    pub position: Option<i64>,
    pub event_type: Option<String>,
    pub module: Digest,
    pub backtrace: Option<String>,
    /// What the guest wrote to its standard error, bounded.
    pub output: Option<String>,
    /// Failures so far at this event.
    pub attempts: i32,
    pub retry_context: Option<String>,
    pub failed_at: OffsetDateTime,
    pub retry_at: Option<OffsetDateTime>,
    /// Milliseconds until the retry by the server's clock, so that clocks of hosts do not matter.
    pub retry_in_ms: Option<i64>,
}

/// A failure to write down.
#[derive(Clone, Debug)]
pub struct NewLaneError {
    pub class: ErrorClass,
    pub message: String,
    pub position: Option<i64>,
    pub event_type: Option<String>,
    pub module: Digest,
    pub backtrace: Option<String>,
    pub output: Option<String>,
    pub attempts: i32,
    pub retry_context: Option<String>,
    /// `None`: no retry is due, an operator must act.
    pub retry_after_ms: Option<i64>,
}

impl Store {
    /// The lanes of one subscription, or of all.
    pub async fn lanes(&self, subscription: Option<&str>) -> Result<Vec<Lane>, Error> {
        let rows = sqlx::query(include_str!("sql/list_lanes.sql"))
            .bind(subscription)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_lane).collect()
    }

    /// Where a checkpoint is. `None`: there is none, or the row of its subscription is another one than that.
    pub async fn checkpoint(&self, key: &LaneKey, revision: &str) -> Result<Option<i64>, Error> {
        let position = sqlx::query_scalar(include_str!("sql/read_checkpoint.sql"))
            .bind(&key.subscription)
            .bind(key.lane)
            .bind(revision);
        Ok(position.fetch_optional(self.pool()).await?)
    }

    /// Records the failure of a lane together with the status that follows from it. `false`: an operator or new code was
    /// faster, and nothing is written.
    pub async fn record_failure(
        &self,
        key: &LaneKey,
        from: Status,
        to: Status,
        error: &NewLaneError,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        // The lane first, the subscription second, as batches do: the other way round would be a deadlock.
        sqlx::query(include_str!("sql/share_lane.sql"))
            .bind(&key.subscription)
            .bind(key.lane)
            .fetch_optional(&mut *transaction)
            .await?;
        if !change_status(&mut transaction, &key.subscription, from, to).await? {
            return Ok(false);
        }
        // The row is locked by now: a failure of code that has been replaced must not stop the new code.
        let newest: bool = sqlx::query_scalar(include_str!("sql/is_newest_module.sql"))
            .bind(&key.subscription)
            .bind(error.module.as_slice())
            .fetch_one(&mut *transaction)
            .await?;
        if !newest {
            return Ok(false);
        }
        sqlx::query(include_str!("sql/record_error.sql"))
            .bind(&key.subscription)
            .bind(key.lane)
            .bind(error.class.as_str())
            .bind(bounded(&error.message, MAX_ERROR_MESSAGE_BYTES))
            .bind(error.position)
            .bind(&error.event_type)
            .bind(error.module.as_slice())
            .bind(cut(error.backtrace.as_deref(), MAX_BACKTRACE_BYTES))
            .bind(cut(error.output.as_deref(), MAX_ERROR_OUTPUT_BYTES))
            .bind(error.attempts)
            .bind(error.retry_context.as_deref().map(printable))
            .bind(error.retry_after_ms)
            .execute(&mut *transaction)
            .await?;
        notify_control(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn cut(text: Option<&str>, max_bytes: usize) -> Option<String> {
    text.map(|text| bounded(text, max_bytes))
}

/// Text as it is stored: what is longer than its limit loses its middle, since causes stand at the end.
pub(super) fn bounded(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return printable(text);
    }
    let (head, tail) = (
        text.floor_char_boundary(max_bytes / 2),
        text.ceil_char_boundary(text.len() - max_bytes / 2),
    );
    let left_out = tail - head;
    let (head, tail) = (printable(&text[..head]), printable(&text[tail..]));
    format!("{head}\n… {left_out} bytes are left out …\n{tail}")
}

/// PostgreSQL's text has no NUL; a guest's message may.
fn printable(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

fn read_lane(row: &PgRow) -> Result<Lane, Error> {
    let class: Option<String> = row.try_get("class")?;
    let error = match class {
        None => None,
        Some(class) => Some(LaneError {
            class: ErrorClass::parse(&class).unwrap_or(ErrorClass::GuestFailed),
            message: row.try_get("message")?,
            position: row.try_get("error_position")?,
            event_type: row.try_get("event_type")?,
            module: read_digest(row, "error_module")?,
            backtrace: row.try_get("backtrace")?,
            output: row.try_get("output")?,
            attempts: row.try_get("attempts")?,
            retry_context: row.try_get("retry_context")?,
            failed_at: row.try_get("failed_at")?,
            retry_at: row.try_get("retry_at")?,
            retry_in_ms: row.try_get("retry_in_ms")?,
        }),
    };
    Ok(Lane {
        key: LaneKey {
            subscription: row.try_get("subscription")?,
            lane: row.try_get("lane")?,
        },
        position: row.try_get("position")?,
        moved_at: row.try_get("moved_at")?,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_text_that_is_too_long_keeps_its_beginning_and_its_end() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("a\0b", 5), "a\u{FFFD}b");
        let long = format!("begin{}end", "é".repeat(500));
        let kept = bounded(&long, 100);
        assert!(
            kept.starts_with("beginé") && kept.ends_with("éend"),
            "{kept}"
        );
        assert!(kept.contains("\n… 910 bytes are left out …\n"), "{kept}");
    }
}
