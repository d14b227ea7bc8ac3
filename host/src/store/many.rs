//! One statement of a guest with many lists of parameters, without a round trip for each.
//!
//! INSERTs of rows that do not conflict with one another are [merged](merged) into one of several rows, in their order or, where nobody can
//! tell, [in another](prepared). For everything else the statement is prepared under a name, and then executed by many short statements in
//! one message: the driver cannot send a prepared statement twice without waiting for the first answer. The simple protocol takes many
//! statements at once, but no parameters: they travel as literals. The text of the guest itself goes through the extended protocol alone,
//! which takes one statement, whatever a guest has set in its session.

mod encoded;
mod merged;
mod prepared;

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::{PgArguments, PgStatement};
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection};

use super::GuestError;
use super::statement::{bad_parameter, parameter_types};
use super::value::{self, Value};
use encoded::Encoded;
use merged::{Merged, Run};
pub(super) use prepared::Known;
use prepared::Prepared;

/// Bytes of one message, at least those of one list of parameters.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Lists of a merged statement, no more.
const MERGED_LISTS_MAX: usize = 1_000;

/// Lists that a merged statement has on average, for it to pay: it costs a round trip.
const MERGED_LISTS_MIN: usize = 8;

/// Lists for which it is worth finding out all that can be known of a statement, since that costs a round trip.
const LISTS_MANY: usize = 100;

/// Lists of a merged statement that count as one statement.
const LIGHT_LISTS: usize = 8;

/// What a list counts beside, if one of the same call has written its row.
const REPEATED_WEIGHT: usize = 6;

/// A name that no other statement of a connection has.
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

/// A list of parameters as texts.
type Texts = Vec<Option<String>>;

/// A statement with its lists of parameters, held against what it takes; nothing of it has been run.
pub(super) struct Work(How);

enum How {
    Merged {
        sql: String,
        runs: Vec<PgArguments>,
        /// How many rows it touches unless it fails, where that can be said before.
        affects: Option<u64>,
        /// See [`Work::light_lists`].
        light: u64,
    },
    Each {
        sql: String,
        lists: Vec<Texts>,
    },
}

impl Work {
    pub async fn of(
        connection: &mut PgConnection,
        known: &mut Known,
        sql: &str,
        lists: &[Vec<Value>],
    ) -> Result<Work, GuestError> {
        if lists.len() >= LISTS_MANY {
            let prepared = known.learn(connection, sql).await?;
            return Work::with(prepared, sql, lists);
        }
        let prepared = Prepared::of(connection, sql).await?;
        Work::with(&prepared, sql, lists)
    }

    /// The same without a word to the server, if the statement is known.
    pub fn of_known(
        known: &Known,
        sql: &str,
        lists: &[Vec<Value>],
    ) -> Result<Option<Work>, GuestError> {
        let prepared = known.get(sql);
        prepared
            .map(|prepared| Work::with(prepared, sql, lists))
            .transpose()
    }

    fn with(prepared: &Prepared, sql: &str, lists: &[Vec<Value>]) -> Result<Work, GuestError> {
        let encoded = Encoded::of(&prepared.statement, lists)?;
        if let Some(merged) = merge(prepared, &encoded)? {
            return Ok(Work(merged));
        }
        let lists = lists.iter().map(|list| texts(list));
        Ok(Work(How::Each {
            sql: sql.to_owned(),
            lists: lists.collect::<Result<_, _>>()?,
        }))
    }

    /// How many rows it touches unless it fails, where that can be said before.
    pub fn affects(&self) -> Option<u64> {
        match &self.0 {
            How::Merged { affects, .. } => *affects,
            How::Each { .. } => None,
        }
    }

    /// How many of its lists count for nothing in the measure of a batch, see [`weight`].
    pub fn light_lists(&self) -> u64 {
        match &self.0 {
            How::Merged { light, .. } => *light,
            How::Each { .. } => 0,
        }
    }

    /// Runs the statement once for each list of parameters, in an order in which nobody can tell it from theirs.
    pub async fn run(self, connection: &mut PgConnection) -> Result<u64, GuestError> {
        match self.0 {
            How::Merged { sql, runs, .. } => execute_merged(connection, &sql, runs).await,
            How::Each { sql, lists } => execute_each(connection, &sql, &lists).await,
        }
    }
}

/// Whether each list of parameters touches one row, or the statement fails.
pub(super) fn touches_each(sql: &str, statement: &PgStatement) -> bool {
    let merged = Merged::of(sql, parameter_types(statement));
    merged.is_some_and(|merged| merged.touches_each)
}

/// The lists in merged statements, if that pays.
fn merge(prepared: &Prepared, lists: &Encoded) -> Result<Option<How>, GuestError> {
    let Some(merged) = &prepared.merged else {
        return Ok(None);
    };
    let (runs, repeated) = if prepared.is_independent {
        let (runs, keys) = merged.runs_by_turn(lists, MERGED_LISTS_MAX);
        (runs, lists.len() - keys)
    } else {
        let runs = merged.runs(lists, MERGED_LISTS_MAX);
        let repeated = if merged.overwrites() { lists.len() } else { 0 };
        (runs, repeated)
    };
    if lists.len() < runs.len() * MERGED_LISTS_MIN {
        return Ok(None);
    }
    let arguments = |run: Run| -> Result<PgArguments, GuestError> {
        let mut arguments = PgArguments::default();
        for (place, array) in merged.arrays.iter().enumerate() {
            let added = arguments.add(lists.column(&run, place, *array));
            added.map_err(|misfit| bad_parameter(place, &misfit))?;
        }
        Ok(arguments)
    };
    let affects = merged.touches_each.then(|| lists.len() as u64);
    Ok(Some(How::Merged {
        sql: merged.sql.clone(),
        runs: runs.into_iter().map(arguments).collect::<Result<_, _>>()?,
        affects,
        light: (lists.len() - weight(lists.len(), repeated)) as u64,
    }))
}

/// How many statements one call counts for, in the measure of a batch. What a transaction overwrites has to lie there until it ends, and a row
/// comes again in the next call as likely as in this one: so it is those of its lists that `repeated` the row of another which tell how soon it is time
/// to commit. Measured, calls of 1,000 lists: 8,000 lists a batch where they meet 10,000 rows, 3,000 where they meet 2,000.
fn weight(lists: usize, repeated: usize) -> usize {
    (lists / LIGHT_LISTS + repeated * REPEATED_WEIGHT).min(lists)
}

async fn execute_merged(
    connection: &mut PgConnection,
    sql: &str,
    runs: Vec<PgArguments>,
) -> Result<u64, GuestError> {
    let mut affected = 0;
    for arguments in runs {
        let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments);
        affected += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}

async fn execute_each(
    connection: &mut PgConnection,
    sql: &str,
    lists: &[Texts],
) -> Result<u64, GuestError> {
    let name = format!("pj_many_{}", NEXT_NAME.fetch_add(1, Ordering::Relaxed));
    sqlx::query(AssertSqlSafe(format!("PREPARE {name} AS {sql}")))
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    let mut affected = 0;
    let mut message = String::new();
    for parameters in lists {
        add_execution(&mut message, &name, parameters);
        if message.len() >= MESSAGE_BYTES {
            affected += send(connection, std::mem::take(&mut message)).await?;
        }
    }
    message.push_str(&format!("DEALLOCATE {name}"));
    affected += send(connection, message).await?;
    Ok(affected)
}

fn texts(parameters: &[Value]) -> Result<Texts, GuestError> {
    let text = |(index, parameter)| {
        value::to_text(parameter).map_err(|problem| {
            let message = format!("parameter ${}: {problem}", index + 1);
            GuestError::new("bad-parameter", message)
        })
    };
    parameters.iter().enumerate().map(text).collect()
}

async fn send(connection: &mut PgConnection, message: String) -> Result<u64, GuestError> {
    let done = sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

fn add_execution(message: &mut String, name: &str, parameters: &[Option<String>]) {
    message.push_str("EXECUTE ");
    message.push_str(name);
    for (index, parameter) in parameters.iter().enumerate() {
        message.push(if index == 0 { '(' } else { ',' });
        match parameter {
            None => message.push_str("NULL"),
            Some(text) => add_literal(message, text),
        }
    }
    message.push_str(if parameters.is_empty() { ";" } else { ");" });
}

/// A literal that means the same under every setting of a session: with E before it backslashes always escape, and of ASCII
/// alone it is the same in every encoding that a client can have.
fn add_literal(message: &mut String, text: &str) {
    message.push_str("E'");
    for letter in text.chars() {
        match letter {
            '\'' => message.push_str("''"),
            '\\' => message.push_str("\\\\"),
            ' '..='~' => message.push(letter),
            other => message.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    message.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weigh_what_their_rows_tell() {
        for (lists, repeated, weighs) in [
            (0, 0, 0),
            (8, 0, 1),
            (1_000, 0, 125),
            (1_000, 50, 425),
            (1_000, 146, 1_000),
            (1_000, 1_000, 1_000),
            (10, 1, 7),
        ] {
            assert_eq!(weight(lists, repeated), weighs, "{lists} {repeated}");
        }
    }

    #[test]
    fn parameters_are_literals_that_no_setting_changes() {
        let mut message = String::new();
        let parameters = [
            Value::Text("it's \\ a \"ü\"\n😀".to_owned()),
            Value::Null,
            Value::Integer(-5),
            Value::Bytes(vec![0, 255]),
        ];
        let parameters = texts(&parameters).expect("all have a text");
        add_execution(&mut message, "pj_many_7", &parameters);
        add_execution(&mut message, "pj_many_7", &[]);
        assert_eq!(
            message,
            "EXECUTE pj_many_7(E'it''s \\\\ a \"\\U000000FC\"\\U0000000A\\U0001F600',NULL,E'-5',E'\\\\x00ff');\
             EXECUTE pj_many_7;"
        );
    }

    #[test]
    fn a_text_that_the_server_cannot_hold_is_refused_by_its_number() {
        let refused = texts(&[Value::Text("\0".to_owned())]);
        let message = refused.expect_err("NUL is no character of a text").message;
        assert_eq!(
            message,
            "parameter $1: text must not contain the character NUL"
        );
    }
}
