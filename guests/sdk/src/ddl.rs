//! The statements that make a struct's table.

use crate::row::{ColumnDef, TableRow};

/// Longest text for the shapes of all tables, in bytes: an option of a descriptor has its limit.
const SHAPES_BYTES_MAX: usize = 4_000;

/// `CREATE TABLE` and one `CREATE INDEX` per `#[index]`, in the order to run them. Names are quoted and unqualified: in
/// `setup` the search path is the subscription's own schema.
pub fn create_statements<T: TableRow>() -> Vec<String> {
    let columns = T::COLUMNS
        .iter()
        .map(column)
        .chain([primary_key(T::COLUMNS)])
        .collect::<Vec<_>>()
        .join(", ");
    let room = T::FILLFACTOR.map_or_else(String::new, |percent| {
        format!(" WITH (fillfactor = {percent})")
    });
    let table = format!("CREATE TABLE {} ({columns}){room}", quoted(T::TABLE));
    let indexes = T::COLUMNS.iter().filter(|column| column.indexed);
    let indexes = indexes.map(|column| {
        format!(
            "CREATE INDEX ON {} ({})",
            quoted(T::TABLE),
            quoted(column.name)
        )
    });
    [table].into_iter().chain(indexes).collect()
}

/// What the host compares when other code comes under the same id: a table keeps the columns it was made with.
pub(crate) fn shape<T: TableRow>() -> String {
    let columns = T::COLUMNS.iter().map(|column| {
        let key = if column.key { " key" } else { "" };
        let null = if column.nullable { "?" } else { "" };
        let index = if column.indexed { " index" } else { "" };
        format!("{} {}{null}{key}{index}", column.name, column.type_name)
    });
    let columns: Vec<_> = columns.collect();
    format!("{}({})", T::TABLE, columns.join(", "))
}

/// The shapes of all tables as one option of the descriptor. One that would be too long for it becomes a digest.
pub(crate) fn shapes(mut tables: Vec<String>) -> String {
    tables.sort_unstable();
    let text = tables.join("; ");
    if text.len() <= SHAPES_BYTES_MAX {
        return text;
    }
    // FNV-1a: it has to tell shapes apart, not to keep anybody out.
    let digest = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{} tables, {digest:016x}", tables.len())
}

fn column(column: &ColumnDef) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(column.name), column.type_name)
}

fn primary_key(columns: &[ColumnDef]) -> String {
    let key = columns
        .iter()
        .filter(|column| column.key)
        .map(|column| quoted(column.name));
    format!("PRIMARY KEY ({})", key.collect::<Vec<_>>().join(", "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
