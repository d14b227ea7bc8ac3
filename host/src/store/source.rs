//! Where events are read from: the names of a table, its columns and its sequence. Data, so that the table of another event
//! store can be described without a line of code.

use super::quote;

/// One table of events, in the names that it uses for what Projectionist calls position, stream and so on. The names are
/// written by whoever configures the host and go into SQL as they are, quoted; nothing of a guest gets here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    pub schema: String,
    pub table: String,
    /// Sequence that numbers the positions; writers hold a lock on it until they end, which the horizon looks at.
    pub sequence: String,
    pub columns: Columns,
}

/// The columns of a table of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub position: String,
    pub id: String,
    pub stream: String,
    pub version: String,
    pub event_type: String,
    pub recorded_at: String,
    pub data: String,
    pub metadata: String,
    pub causation_id: String,
    pub correlation_id: String,
    pub tags: String,
}

impl EventSource {
    /// The log that our own migrations make.
    pub fn built_in() -> EventSource {
        EventSource {
            schema: "projectionist".into(),
            table: "events".into(),
            sequence: "events_position".into(),
            columns: Columns {
                position: "position".into(),
                id: "id".into(),
                stream: "stream".into(),
                version: "version".into(),
                event_type: "type".into(),
                recorded_at: "recorded_at".into(),
                data: "data".into(),
                metadata: "metadata".into(),
                causation_id: "causation_id".into(),
                correlation_id: "correlation_id".into(),
                tags: "tags".into(),
            },
        }
    }

    /// The table as it stands in SQL.
    pub fn qualified_table(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }

    /// The sequence as it stands in SQL.
    pub fn qualified_sequence(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.sequence))
    }

    /// Puts the names into a statement from a file: `{table}`, `{sequence}`, and each column, as one of the alias `e`.
    pub fn render(&self, template: &str) -> String {
        let mut sql = String::with_capacity(2 * template.len());
        let mut rest = template;
        while let Some(begin) = rest.find('{') {
            let (before, placeholder) = rest.split_at(begin);
            sql.push_str(before);
            let end = placeholder
                .find('}')
                .map_or(placeholder.len(), |end| end + 1);
            let (placeholder, behind) = placeholder.split_at(end);
            match self.named(placeholder) {
                Some(name) => sql.push_str(&name),
                None => sql.push_str(placeholder),
            }
            rest = behind;
        }
        sql.push_str(rest);
        sql
    }

    fn named(&self, placeholder: &str) -> Option<String> {
        let columns = &self.columns;
        let column = match placeholder {
            "{table}" => return Some(self.qualified_table()),
            "{sequence}" => return Some(self.qualified_sequence()),
            "{position}" => &columns.position,
            "{id}" => &columns.id,
            "{stream}" => &columns.stream,
            "{version}" => &columns.version,
            "{type}" => &columns.event_type,
            "{recorded_at}" => &columns.recorded_at,
            "{data}" => &columns.data,
            "{metadata}" => &columns.metadata,
            "{causation_id}" => &columns.causation_id,
            "{correlation_id}" => &columns.correlation_id,
            "{tags}" => &columns.tags,
            _ => return None,
        };
        Some(format!("e.{}", quote(column)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let mut source = EventSource::built_in();
        source.table = "my \"log\"".into();
        source.columns.stream = "Stream".into();
        assert_eq!(
            source.render("SELECT {stream} FROM {table} e"),
            "SELECT e.\"Stream\" FROM \"projectionist\".\"my \"\"log\"\"\" e"
        );
    }

    #[test]
    fn what_is_no_name_of_it_stays() {
        let source = EventSource::built_in();
        assert_eq!(
            source.render("{{id}} '{}' {filter} {id} {table"),
            "{{id}} '{}' {filter} e.\"id\" {table"
        );
    }
}
