//! One statement of a guest with many lists of parameters, without a round trip for each: the statement is prepared under a
//! name, and then executed by many short statements in one message.
//!
//! The driver cannot send a prepared statement twice without waiting for the first answer. The simple protocol takes many
//! statements at once, but no parameters: they travel as literals. The text of the guest itself goes through the
//! extended protocol alone, which takes one statement, whatever a guest has set in its session.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, PgConnection};

use super::GuestError;
use super::statement::{check, execute, prepare};
use super::value::{self, Value};

/// Bytes of one message, at least those of one list of parameters.
const MESSAGE_BYTES: usize = 256 * 1024;

/// A name that no other statement of a connection has.
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

/// Runs a statement once for each list of parameters, in their order.
pub(super) async fn execute_many(
    connection: &mut PgConnection,
    sql: &str,
    lists: &[Vec<Value>],
) -> Result<u64, GuestError> {
    if let [parameters] = lists {
        return execute(connection, sql, parameters).await;
    }
    let statement = prepare(connection, sql).await?;
    for parameters in lists {
        check(&statement, parameters)?;
    }
    let name = format!("pj_many_{}", NEXT_NAME.fetch_add(1, Ordering::Relaxed));
    sqlx::query(AssertSqlSafe(format!("PREPARE {name} AS {sql}")))
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    let mut affected = 0;
    let mut message = String::new();
    for parameters in lists {
        add_execution(&mut message, &name, parameters)?;
        if message.len() >= MESSAGE_BYTES {
            affected += send(connection, std::mem::take(&mut message)).await?;
        }
    }
    message.push_str(&format!("DEALLOCATE {name}"));
    affected += send(connection, message).await?;
    Ok(affected)
}

async fn send(connection: &mut PgConnection, message: String) -> Result<u64, GuestError> {
    let done = sqlx::raw_sql(AssertSqlSafe(message))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

fn add_execution(message: &mut String, name: &str, parameters: &[Value]) -> Result<(), GuestError> {
    message.push_str("EXECUTE ");
    message.push_str(name);
    for (index, parameter) in parameters.iter().enumerate() {
        message.push(if index == 0 { '(' } else { ',' });
        let text = value::to_text(parameter).map_err(|problem| {
            let message = format!("parameter ${}: {problem}", index + 1);
            GuestError::new("bad-parameter", message)
        })?;
        match text {
            None => message.push_str("NULL"),
            Some(text) => add_literal(message, &text),
        }
    }
    message.push_str(if parameters.is_empty() { ";" } else { ");" });
    Ok(())
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
    fn parameters_are_literals_that_no_setting_changes() {
        let mut message = String::new();
        let parameters = [
            Value::Text("it's \\ a \"ü\"\n😀".to_owned()),
            Value::Null,
            Value::Integer(-5),
            Value::Bytes(vec![0, 255]),
        ];
        add_execution(&mut message, "pj_many_7", &parameters).expect("all have a text");
        add_execution(&mut message, "pj_many_7", &[]).expect("there is nothing");
        assert_eq!(
            message,
            "EXECUTE pj_many_7(E'it''s \\\\ a \"\\U000000FC\"\\U0000000A\\U0001F600',NULL,E'-5',E'\\\\x00ff');\
             EXECUTE pj_many_7;"
        );
    }

    #[test]
    fn a_text_that_the_server_cannot_hold_is_refused_by_its_number() {
        let refused = add_execution(&mut String::new(), "x", &[Value::Text("\0".to_owned())]);
        let message = refused.expect_err("NUL is no character of a text").message;
        assert_eq!(
            message,
            "parameter $1: text must not contain the character NUL"
        );
    }
}
