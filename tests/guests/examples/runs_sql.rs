//! Sin: whatever a test wants. Runs the statements of its settings in `setup`, and the statement of each event in `handle`; what
//! fails there is skipped with the host's words as the reason.

use projectionist_sdk::prelude::*;
use serde::Deserialize;

const CREATE_ANSWERS: &str =
    "CREATE TABLE answers (position bigint PRIMARY KEY, answer text NOT NULL)";
const ANSWER: &str = "INSERT INTO answers (position, answer) VALUES ($1, $2)";

/// What stands between two statements of a setting.
const BETWEEN: &str = "\n---\n";

#[derive(Deserialize)]
struct Run {
    sql: String,
    #[serde(default)]
    how: How,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum How {
    /// Its rows, one column of text each, are kept as the answer.
    #[default]
    Query,
    /// The same, and what it makes of a failure is up to the host.
    Trustingly,
    /// Inside a savepoint; a failure is the answer.
    Try,
    /// As one that does not look at the result.
    Blindly,
}

fn projector() -> Projector {
    Projector::new("runs_sql_1")
        .setup(set_up)
        .teardown(tear_down)
        .on("Run", run)
}

fn set_up(sql: Sql, config: Config) -> Result {
    sql.execute(CREATE_ANSWERS, &[])?;
    run_all(&sql, config.get("setup"))
}

fn tear_down(sql: Sql, config: Config) -> Result {
    run_all(&sql, config.get("teardown"))
}

fn run_all(sql: &Sql, statements: Option<String>) -> Result {
    let statements = statements.unwrap_or_default();
    for statement in statements.split(BETWEEN).filter(|text| !text.is_empty()) {
        sql.execute(statement, &[])?;
    }
    Ok(())
}

fn run(message: Message, event: Event<Run>, sql: Sql) -> Result {
    let skip = |why: Failure| Failure::skip(why.message());
    let answer = match event.how {
        How::Query => texts(&sql, &event.sql).map_err(skip)?,
        How::Trustingly => texts(&sql, &event.sql)?,
        How::Try => match sql.try_execute(&event.sql, &[]) {
            Ok(rows) => format!("{rows} rows"),
            Err(error) => error.to_string(),
        },
        How::Blindly => {
            let _ = sql.execute(&event.sql, &[]);
            "whatever".to_owned()
        }
    };
    let position = i64::try_from(message.position())?;
    sql.execute(ANSWER, &params![position, answer])?;
    Ok(())
}

fn texts(sql: &Sql, statement: &str) -> Result<String> {
    let rows: Vec<(Option<String>,)> = sql.query(statement, &[])?;
    let texts: Vec<String> = rows
        .into_iter()
        .map(|(text,)| text.unwrap_or_else(|| "null".to_owned()))
        .collect();
    Ok(texts.join(", "))
}

export_projector!(projector);
