//! The rules of statuses in PostgreSQL: the same table, and every change of a row that it does not have is refused.

use sqlx::{Acquire as _, AssertSqlSafe, PgConnection};
use subscription::{RunMode, Status};

use crate::support::TestDatabase;
use crate::support::rows::{projector, register};

const ID: &str = "accounts_1";

const MODES: [RunMode; 4] = [
    RunMode::FromBeginning,
    RunMode::FromNow,
    RunMode::Once,
    RunMode::FromPosition(0),
];

/// Every pair of statuses that may follow one another, with the run modes in which they may.
fn moves() -> Vec<(String, String, Vec<String>)> {
    let mut moves = Vec::new();
    for from in Status::all() {
        for to in Status::all().into_iter().filter(|to| *to != from) {
            let modes = MODES.into_iter().filter(|mode| from.may_become(to, *mode));
            let modes: Vec<String> = modes.map(|mode| mode.name().to_owned()).collect();
            if !modes.is_empty() {
                moves.push((from.to_string(), to.to_string(), modes));
            }
        }
    }
    moves.sort();
    moves
}

/// What a new migration has to do when the rules have changed.
fn migration(moves: &[(String, String, Vec<String>)]) -> String {
    let rows = moves.iter().map(|(from, to, modes)| {
        let modes = modes.join(",");
        format!("    ('{from}', '{to}', '{{{modes}}}')")
    });
    let rows: Vec<String> = rows.collect();
    format!(
        "DELETE FROM projectionist.status_moves;\nINSERT INTO projectionist.status_moves (from_status, to_status, run_modes) VALUES\n{};",
        rows.join(",\n")
    )
}

#[tokio::test]
async fn the_table_in_postgresql_is_the_one_of_the_rules() {
    let database = TestDatabase::new().await;
    let stored: Vec<(String, String, Vec<String>)> = sqlx::query_as(
        "SELECT from_status, to_status, run_modes FROM projectionist.status_moves ORDER BY from_status, to_status",
    )
    .fetch_all(database.pool())
    .await
    .expect("the moves");

    let expected = moves();

    assert!(
        stored == expected,
        "the rules have changed, so a migration has to say:\n{}",
        migration(&expected)
    );
}

/// Puts the row where no rule would lead it from where it is.
async fn place(connection: &mut PgConnection, status: Status, mode: RunMode) {
    let update = format!(
        "ALTER TABLE projectionist.subscriptions DISABLE TRIGGER USER;
         UPDATE projectionist.subscriptions SET run_mode = '{}', status = '{}', resume = {} WHERE id = '{ID}';
         ALTER TABLE projectionist.subscriptions ENABLE TRIGGER USER",
        mode.name(),
        status.name(),
        resume(status)
    );
    let placed = sqlx::raw_sql(AssertSqlSafe(update)).execute(connection);
    placed.await.expect("placed");
}

fn resume(status: Status) -> String {
    let resume = status.resume();
    resume.map_or_else(
        || "NULL".to_owned(),
        |resume| format!("'{}'", resume.name()),
    )
}

/// The SQLSTATE with which a change is refused.
async fn change(connection: &mut PgConnection, to: Status) -> Result<(), String> {
    let update = format!(
        "UPDATE projectionist.subscriptions SET status = '{}', resume = {} WHERE id = '{ID}'",
        to.name(),
        resume(to)
    );
    let mut savepoint = connection.begin().await.expect("a savepoint");
    let changed = sqlx::raw_sql(AssertSqlSafe(update))
        .execute(&mut *savepoint)
        .await;
    let refusal = changed.map(|_| ()).map_err(|error| {
        let code = error.as_database_error().and_then(|error| error.code());
        code.map_or_else(|| error.to_string(), |code| code.into_owned())
    });
    savepoint.rollback().await.expect("rolled back");
    refusal
}

#[tokio::test]
async fn every_change_is_allowed_by_both_or_refused_by_both() {
    let database = TestDatabase::new().await;
    register(&database.store(), projector(ID), Status::New).await;
    let mut connection = database.connect().await;
    let mut transaction = connection.begin().await.expect("a transaction");
    let (mut allowed, mut refused) = (0, 0);
    for mode in MODES {
        for from in Status::all() {
            // Nothing but the run mode once is ever Finished, which a constraint of its own says.
            if from == Status::Finished && mode != RunMode::Once {
                continue;
            }
            place(&mut transaction, from, mode).await;
            for to in Status::all() {
                let answer = change(&mut transaction, to).await;
                let expected = from == to || from.may_become(to, mode);
                match expected {
                    true => allowed += 1,
                    false => refused += 1,
                }
                let case = format!("{from} to {to}, {mode}");
                match (expected, answer) {
                    (true, answer) => assert_eq!(answer, Ok(()), "{case}"),
                    (false, answer) => assert_eq!(answer, Err("PJ006".to_owned()), "{case}"),
                }
            }
        }
    }
    assert_eq!(allowed + refused, (4 * 13 - 3) * 13);
    assert!(allowed > 100 && refused > 300, "{allowed} and {refused}");
}

#[tokio::test]
async fn a_subscription_begins_as_new_and_is_told_what_to_do_otherwise() {
    let database = TestDatabase::new().await;
    register(&database.store(), projector(ID), Status::New).await;
    let mut told = Vec::new();
    for statement in [
        "INSERT INTO projectionist.subscriptions (id, line, version, kind, group_name, run_mode, start_position, status, descriptor, module)
         SELECT 'accounts_2', line, 2, kind, group_name, run_mode, 0, 'Active', descriptor, module FROM projectionist.subscriptions",
        "UPDATE projectionist.subscriptions SET status = 'Paused', resume = 'New'",
    ] {
        let error = sqlx::raw_sql(statement).execute(database.pool()).await;
        let error = error.expect_err("refused");
        let error = error.as_database_error().expect("an answer of the server");
        told.push(error.message().to_owned());
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    the subscription accounts_2 cannot begin as Active
    the subscription accounts_1 cannot go from New to Paused(New) in the run mode from-beginning
    ");
}
