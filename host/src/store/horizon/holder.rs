//! A transaction that has taken a position and has not ended.

use std::fmt;

use time::OffsetDateTime;

/// The longest part of a query that is shown, in characters.
const QUERY_CHARS: usize = 200;

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Holder {
    /// What PostgreSQL calls it from its beginning, before it has a number of its own.
    pub virtual_transaction: String,
    /// `None`: a prepared transaction, which no process stands behind.
    pub pid: Option<i32>,
    /// This and the query need the privilege to see other users' sessions.
    #[sqlx(rename = "application_name")]
    pub application: Option<String>,
    pub query: Option<String>,
    pub state: Option<String>,
    /// When it began, or was prepared.
    pub since: Option<OffsetDateTime>,
    /// The name of a prepared transaction.
    pub gid: Option<String>,
}

/// For people: who it is and what it did last.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.gid) {
            (Some(pid), _) => write!(f, "process {pid}")?,
            (None, Some(gid)) => write!(f, "the prepared transaction '{gid}'")?,
            (None, None) => write!(f, "the prepared transaction {}", self.virtual_transaction)?,
        }
        if let Some(application) = self.application.as_deref().filter(|name| !name.is_empty()) {
            write!(f, " of application {application}")?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(since) = self.since {
            // Whole seconds: nobody looks for a stuck writer by the microsecond.
            write!(
                f,
                ", since {}",
                since.replace_nanosecond(0).unwrap_or(since)
            )?;
        }
        if let Some(query) = self.shown_query() {
            write!(f, ", last query: {query}")?;
        }
        Ok(())
    }
}

impl Holder {
    /// The beginning of the last query, on one line.
    pub fn shown_query(&self) -> Option<String> {
        let query = self.query.as_deref().filter(|query| !query.is_empty())?;
        let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(QUERY_CHARS) {
            Some((end, _)) => Some(format!("{}…", &line[..end])),
            None => Some(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_person_can_find_it() {
        let session = Holder {
            virtual_transaction: "3/45".into(),
            pid: Some(4711),
            application: Some("billing".into()),
            query: Some("SELECT\n  nextval('x')".into()),
            state: Some("idle in transaction".into()),
            since: Some(datetime!(2025-03-01 12:00:00.25 UTC)),
            gid: None,
        };
        assert_eq!(
            session.to_string(),
            "process 4711 of application billing, idle in transaction, since 2025-03-01 12:00:00.0 +00:00:00, \
             last query: SELECT nextval('x')"
        );
        let prepared = Holder {
            pid: None,
            application: None,
            query: None,
            state: None,
            gid: Some("tx1".into()),
            ..session
        };
        assert_eq!(
            prepared.to_string(),
            "the prepared transaction 'tx1', since 2025-03-01 12:00:00.0 +00:00:00"
        );
    }

    #[test]
    fn a_long_query_is_cut() {
        let holder = Holder {
            virtual_transaction: "3/45".into(),
            pid: Some(1),
            application: None,
            query: Some("ä".repeat(300)),
            state: None,
            since: None,
            gid: None,
        };
        assert_eq!(
            holder.shown_query().expect("a query").chars().count(),
            QUERY_CHARS + 1
        );
    }
}
