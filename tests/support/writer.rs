//! A writer as other programs are: a transaction of its own and plain INSERT, in whatever order it likes.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::TestDatabase;

pub struct Writer {
    connection: PgConnection,
}

impl Writer {
    /// A writer that has begun a transaction.
    pub async fn begin(database: &TestDatabase) -> Writer {
        let mut writer = Writer {
            connection: database.connect().await,
        };
        writer.execute("BEGIN").await;
        writer
    }

    pub async fn execute(&mut self, sql: impl Into<String>) {
        let sql = sql.into();
        let executed = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.connection)
            .await;
        executed.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
    }

    pub async fn pid(&mut self) -> i32 {
        sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut self.connection)
            .await
            .expect("a pid")
    }

    /// Takes the next position.
    pub async fn take(&mut self) -> i64 {
        self.take_many(1).await[0]
    }

    /// Takes positions in advance.
    pub async fn take_many(&mut self, count: i32) -> Vec<i64> {
        sqlx::query_scalar(
            "SELECT nextval('projectionist.events_position') FROM generate_series(1, $1)",
        )
        .bind(count)
        .fetch_all(&mut self.connection)
        .await
        .expect("positions")
    }

    /// Inserts an event at a position that was taken.
    pub async fn insert(&mut self, position: i64) {
        sqlx::query("INSERT INTO projectionist.events (position, stream, version, type) VALUES ($1, 'test-' || $1, 1, 'Written')")
            .bind(position)
            .execute(&mut self.connection)
            .await
            .unwrap_or_else(|failure| panic!("insert at {position}: {failure}"));
    }

    /// Appends by the function, as one is supposed to.
    pub async fn append(&mut self) -> i64 {
        let append = r#"SELECT max(a.position) FROM projectionist.append('test-' || gen_random_uuid(), NULL, '[{"type": "Written"}]') AS a"#;
        sqlx::query_scalar(append)
            .fetch_one(&mut self.connection)
            .await
            .expect("appended")
    }

    pub async fn commit(mut self) {
        self.execute("COMMIT").await;
        self.connection.close().await.expect("closed");
    }

    pub async fn roll_back(mut self) {
        self.execute("ROLLBACK").await;
        self.connection.close().await.expect("closed");
    }

    /// Leaves the transaction behind as a prepared one.
    pub async fn prepare(mut self, gid: &str) {
        self.execute(format!("PREPARE TRANSACTION '{gid}'")).await;
        self.connection.close().await.expect("closed");
    }

    /// Decides a prepared transaction.
    pub async fn commit_prepared(database: &TestDatabase, gid: &str) {
        let mut anybody = Writer {
            connection: database.connect().await,
        };
        anybody.execute(format!("COMMIT PREPARED '{gid}'")).await;
    }

    /// Writes one event in a transaction of its own, and says where.
    pub async fn write_one(database: &TestDatabase) -> i64 {
        let mut writer = Writer::begin(database).await;
        let position = writer.take().await;
        writer.insert(position).await;
        writer.commit().await;
        position
    }

    /// Takes a position that will never be used, and says which.
    pub async fn waste_one(database: &TestDatabase) -> i64 {
        let mut writer = Writer::begin(database).await;
        let position = writer.take().await;
        writer.roll_back().await;
        position
    }

    /// A writer that has inserted at a position and has not ended.
    pub async fn open(database: &TestDatabase) -> (Writer, i64) {
        let mut writer = Writer::begin(database).await;
        let position = writer.take().await;
        writer.insert(position).await;
        (writer, position)
    }
}
