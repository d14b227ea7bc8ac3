//! What the derive makes of a struct.

use projectionist_sdk::prelude::*;
use projectionist_sdk::{KeyValues, TableRow, Value, create_statements};

#[derive(Table, Debug, Clone, PartialEq, Default)]
#[table(name = "order \"line\"")]
struct Line {
    #[key]
    order_id: Uuid,
    #[key]
    #[column(name = "no")]
    number: i32,
    #[index]
    article: String,
    #[column(type = "numeric(12, 2)")]
    price: Numeric,
    weight: Option<f64>,
    gift: bool,
    tags: Vec<String>,
    extra: Option<serde_json::Value>,
    due: Option<Date>,
    added_at: Timestamp,
    picture: Option<Vec<u8>>,
    r#type: i64,
}

#[derive(Table)]
#[table(fillfactor = 50)]
struct Counter {
    #[key]
    id: i64,
    count: i64,
}

#[derive(Table)]
struct OpenAccount {
    #[key]
    id: String,
}

fn line() -> Line {
    Line {
        order_id: Uuid("0d2b0d2e-7c3c-4a10-a1d0-000000000001".to_owned()),
        number: 2,
        article: "tea".to_owned(),
        price: Numeric("3.50".to_owned()),
        due: Some(Date::from_days(15_248)),
        tags: vec!["hot".to_owned()],
        r#type: -1,
        ..Line::default()
    }
}

#[test]
fn a_struct_gives_its_table() {
    assert_eq!(
        create_statements::<Line>(),
        [
            "CREATE TABLE \"order \"\"line\"\"\" (\
             \"order_id\" uuid NOT NULL, \
             \"no\" integer NOT NULL, \
             \"article\" text NOT NULL, \
             \"price\" numeric(12, 2) NOT NULL, \
             \"weight\" double precision, \
             \"gift\" boolean NOT NULL, \
             \"tags\" text[] NOT NULL, \
             \"extra\" json, \
             \"due\" date, \
             \"added_at\" timestamptz NOT NULL, \
             \"picture\" bytea, \
             \"type\" bigint NOT NULL, \
             PRIMARY KEY (\"order_id\", \"no\"))",
            "CREATE INDEX ON \"order \"\"line\"\"\" (\"article\")",
        ]
    );
}

#[test]
fn a_table_without_a_name_is_called_like_its_struct() {
    assert_eq!(
        create_statements::<OpenAccount>(),
        ["CREATE TABLE \"open_account\" (\"id\" text NOT NULL, PRIMARY KEY (\"id\"))"]
    );
}

#[test]
fn a_table_has_as_much_room_for_changes_as_is_wanted() {
    assert_eq!(
        create_statements::<Counter>(),
        [
            "CREATE TABLE \"counter\" (\"id\" bigint NOT NULL, \"count\" bigint NOT NULL, \
          PRIMARY KEY (\"id\")) WITH (fillfactor = 50)"
        ]
    );
}

#[test]
fn a_row_comes_back_from_its_values() {
    let values = line().to_values();
    assert_eq!(values.len(), Line::COLUMNS.len());
    assert_eq!(values[1], Value::Integer(2));
    assert_eq!(Line::from_values(values), Ok(line()));
}

#[test]
fn a_row_says_which_column_does_not_fit() {
    let mut values = line().to_values();
    values[1] = Value::Text("two".to_owned());
    assert_eq!(
        Line::from_values(values).map_err(|error| error.to_string()),
        Err("column no: expected integer, found a text".to_owned())
    );
    assert_eq!(
        OpenAccount::from_values(Vec::new())
            .map(|account| account.id)
            .map_err(|error| error.to_string()),
        Err("column id: expected a value, found no such column".to_owned())
    );
}

#[test]
fn the_key_is_a_tuple_of_the_key_fields() {
    let mut other = Line::default();
    other.set_key(line().key());
    assert_eq!((&other.order_id, other.number), (&line().order_id, 2));
    assert_eq!(
        line().key().key_values(),
        [Value::Uuid(line().order_id.0), Value::Integer(2)]
    );
    assert_eq!(
        "a".key_values(),
        OpenAccount { id: "a".to_owned() }.key().key_values()
    );
}
