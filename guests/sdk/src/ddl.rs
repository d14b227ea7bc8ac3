//! The statements that make a struct's table.

use crate::row::{ColumnDef, TableRow};

/// `CREATE TABLE` and one `CREATE INDEX` per `#[index]`, in the order to run them. Names are quoted and unqualified: in
/// `setup` the search path is the subscription's own schema.
pub fn create_statements<T: TableRow>() -> Vec<String> {
    let columns = T::COLUMNS
        .iter()
        .map(column)
        .chain([primary_key(T::COLUMNS)])
        .collect::<Vec<_>>()
        .join(", ");
    let table = format!("CREATE TABLE {} ({columns})", quoted(T::TABLE));
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
