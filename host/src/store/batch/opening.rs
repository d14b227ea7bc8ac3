//! How a batch begins: one round trip that begins the transaction and takes the lane, after a reset of the session if it was not reset
//! when the last batch ended.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Batch, Durability, Grant, LaneState, Opening, patience_ms};
use crate::store::leased::Leased;
use crate::store::proof::Authority;
use crate::store::subscriptions::{read_digest, read_status};
use crate::store::{Error, LaneKey, Store, quote};

/// What a guest may have left in the session of its role. DISCARD ALL would drop the driver's prepared statements.
pub(super) const RESET: &str = "BEGIN; RESET ALL; SET SESSION AUTHORIZATION DEFAULT; CLOSE ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; COMMIT; ";

impl Batch {
    /// Begins a transaction and takes the lane, or says that somebody else has it.
    pub async fn open(
        store: &Store,
        key: &LaneKey,
        grant: Grant,
        durability: Durability,
    ) -> Result<Opening, Error> {
        loop {
            let acquired = Leased::acquire(store, &key.subscription, grant.duty()).await?;
            let Some(mut leased) = acquired else {
                return Ok(Opening::Taken);
            };
            let authority = leased.authority(&key.subscription);
            match begin(&mut leased, &authority, key, grant, durability).await {
                Ok(Some(row)) => {
                    let (state, transaction_id) = lane_state(&row, &key.subscription)?;
                    let session = (leased, row.try_get("backend")?);
                    let mut batch = Batch::new(store, key, grant, durability, state, session);
                    batch.transaction_id = transaction_id;
                    return Ok(Opening::Opened(Box::new(batch)));
                }
                Ok(None) => {
                    sqlx::raw_sql("ROLLBACK").execute(leased.get()).await?;
                    leased.release();
                    return Ok(Opening::Taken);
                }
                // The connection was cut while nobody used it, or the role was made anew: the others are no better.
                Err(error) if leased.is_worn(&error) => store.roles().forget(&key.subscription),
                Err(error) => return Err(error),
            }
        }
    }
}

/// `None`: the lane is taken, or gone.
pub(super) async fn begin(
    leased: &mut Leased,
    authority: &Authority,
    key: &LaneKey,
    grant: Grant,
    durability: Durability,
) -> Result<Option<PgRow>, Error> {
    let reset = if leased.is_clean() { "" } else { RESET };
    let (settings, subscription, proof) = match authority {
        Authority::Host { subscription } => (
            host_settings(subscription, grant),
            literal(Some(subscription)),
            None,
        ),
        Authority::Role { backend, .. } => {
            let words = ["open", &key.lane.to_string(), &backend.to_string()];
            (String::new(), literal(None), authority.proof(&words))
        }
    };
    // In text, because the simple protocol takes several statements at once. Nothing of it is of a guest's making.
    let script = format!(
        "{reset}BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = {}; {settings}\
         SELECT o.position, o.moved_by, o.status, o.resume, o.module, o.generation, o.boot_until, o.ceiling, o.muted, o.attempts, o.error_position, \
         o.retry_context, o.transaction_id, o.backend FROM pj_batch.open_lane({}, {subscription}, {}) o",
        durability.synchronous_commit(),
        key.lane,
        proof_literal(proof.as_deref())
    );
    leased.mark_used();
    let rows = sqlx::raw_sql(AssertSqlSafe(script))
        .fetch_all(leased.get())
        .await?;
    Ok(rows
        .into_iter()
        .find(|row| row.try_column("transaction_id").is_ok()))
}

/// What the rows of the lane say, and the transaction that took it.
pub(super) fn lane_state(row: &PgRow, subscription: &str) -> Result<(LaneState, String), Error> {
    let state = LaneState {
        position: row.try_get("position")?,
        status: read_status(row, subscription)?,
        module: read_digest(row, "module")?,
        generation: row.try_get("generation")?,
        boot_until: row.try_get("boot_until")?,
        ceiling: row.try_get("ceiling")?,
        muted: row.try_get("muted")?,
        attempts: row.try_get::<Option<i32>, _>("attempts")?.unwrap_or(0),
        error_position: row.try_get("error_position")?,
        retry_context: row.try_get("retry_context")?,
        moved_by: row.try_get("moved_by")?,
    };
    Ok((state, row.try_get("transaction_id")?))
}

/// A session of a role has these from its beginning; one of the host has others.
fn host_settings(schema: &str, grant: Grant) -> String {
    let patience_ms = patience_ms(grant.duty());
    format!(
        "SET LOCAL statement_timeout = {patience_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {patience_ms}; \
         SET LOCAL search_path = {}; ",
        quote(schema)
    )
}

/// A text of our own making, or NULL, in a statement. No backslash: what one means is a setting.
pub(super) fn literal(text: Option<&str>) -> String {
    text.map_or_else(
        || "NULL".to_owned(),
        |text| format!("'{}'", text.replace('\'', "''")),
    )
}

pub(super) fn proof_literal(proof: Option<&[u8]>) -> String {
    proof.map_or_else(
        || "NULL".to_owned(),
        |proof| format!("pg_catalog.decode('{}', 'hex')", hex::encode(proof)),
    )
}
