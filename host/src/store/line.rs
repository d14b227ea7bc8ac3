//! The rows of lines: which version is live, which one an operator wants, and what holds a switch up.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use subscription::Kind;
use time::OffsetDateTime;

use super::{Batch, Error, Store};

/// One row of `lines`.
#[derive(Clone, Debug)]
pub struct LineRow {
    pub line: String,
    pub kind: Kind,
    /// The version that readers see.
    pub live: Option<String>,
    pub live_since: Option<OffsetDateTime>,
    /// The version that an operator wants to be live.
    pub wanted: Option<String>,
    pub wanted_since: Option<OffsetDateTime>,
    /// Where the wanted version stood when it was asked for.
    pub wanted_from: Option<i64>,
    /// The version that is being switched to at this moment.
    pub challenger: Option<String>,
    pub obstacle: Option<String>,
    pub obstacle_since: Option<OffsetDateTime>,
}

/// A transaction that holds a switch up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    pub pid: Option<i32>,
    pub application: Option<String>,
    pub state: Option<String>,
    pub since: Option<OffsetDateTime>,
}

impl Store {
    /// All lines, by name.
    pub async fn lines(&self) -> Result<Vec<LineRow>, Error> {
        let rows = sqlx::query(include_str!("sql/list_lines.sql"))
            .bind(None::<&str>)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_line).collect()
    }

    /// Another text after every change of a row of lines or of their versions.
    pub async fn lines_digest(&self) -> Result<String, Error> {
        let digest = sqlx::query_scalar(include_str!("sql/digest_lines.sql"));
        Ok(digest.fetch_one(self.pool()).await?)
    }

    /// One line, or `None` when none of its versions is known.
    pub async fn line(&self, line: &str) -> Result<Option<LineRow>, Error> {
        let row = sqlx::query(include_str!("sql/list_lines.sql"))
            .bind(line)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_line).transpose()
    }

    /// Writes down what holds a switch up; `None`: nothing any more.
    pub async fn note_obstacle(&self, line: &str, obstacle: Option<&str>) -> Result<(), Error> {
        sqlx::query(include_str!("sql/note_obstacle.sql"))
            .bind(line)
            .bind(obstacle)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Whoever reads a view of the line and holds its lock until the end of the transaction.
    pub async fn view_readers(&self, line: &str) -> Result<Vec<Hindrance>, Error> {
        let rows = sqlx::query(include_str!("sql/list_view_readers.sql"))
            .bind(line)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_hindrance).collect()
    }
}

fn read_line(row: &PgRow) -> Result<LineRow, Error> {
    let kind: String = row.try_get("kind")?;
    let handing_over: bool = row.try_get("handing_over")?;
    let challenger: Option<String> = row.try_get("challenger")?;
    Ok(LineRow {
        line: row.try_get("line")?,
        kind: Kind::parse(&kind).unwrap_or(Kind::Projector),
        live: row.try_get("live")?,
        live_since: row.try_get("live_since")?,
        wanted: row.try_get("wanted")?,
        wanted_since: row.try_get("wanted_since")?,
        wanted_from: row.try_get("wanted_from")?,
        challenger: challenger.filter(|_| handing_over),
        obstacle: row.try_get("obstacle")?,
        obstacle_since: row.try_get("obstacle_since")?,
    })
}

pub(super) fn read_hindrance(row: &PgRow) -> Result<Hindrance, Error> {
    Ok(Hindrance {
        pid: row.try_get("pid")?,
        application: row.try_get("application_name")?,
        state: row.try_get("state")?,
        since: row.try_get("xact_start")?,
    })
}

impl Batch {
    /// Leaves the views of its line empty and free of the tables that are about to go; what hangs on the views stays.
    pub async fn empty_line(&mut self) -> Result<(), Error> {
        let proof = self.proof(&["empty-line"]);
        let statement = sqlx::query(include_str!("sql/empty_line.sql"));
        self.call(statement, proof).await
    }

    /// Points the views of its line at the tables of this subscription again.
    pub async fn point_line(&mut self) -> Result<(), Error> {
        let proof = self.proof(&["point-line"]);
        let statement = sqlx::query(include_str!("sql/point_line_in_batch.sql"));
        self.call(statement, proof).await
    }
}
