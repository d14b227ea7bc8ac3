//! Rows in hand against a host that writes down what it is asked.

use super::*;
use crate::row::ColumnDef;
use crate::value::ValueError;
use std::collections::BTreeMap;

thread_local! {
    static STORED: RefCell<BTreeMap<Vec<String>, Vec<Value>>> = RefCell::default();
    static CALLS: RefCell<Vec<String>> = RefCell::default();
}

struct Fake;

impl Host for Fake {
    fn get(table: &str, keys: &[Vec<Value>]) -> Result<Vec<Option<Vec<Value>>>, Error> {
        called(format!("get {table} {}", names(keys)));
        let stored = |key: &Vec<Value>| STORED.with_borrow(|rows| rows.get(&name(key)).cloned());
        Ok(keys.iter().map(stored).collect())
    }

    fn put(table: &str, rows: &[Vec<Value>]) -> Result<(), Error> {
        called(format!("put {table} {}", names(rows)));
        for row in rows {
            STORED.with_borrow_mut(|stored| stored.insert(name(&row[..1]), row.clone()));
        }
        Ok(())
    }

    fn delete(table: &str, keys: &[Vec<Value>]) -> Result<(), Error> {
        called(format!("delete {table} {}", names(keys)));
        for key in keys {
            STORED.with_borrow_mut(|stored| stored.remove(&name(key)));
        }
        Ok(())
    }
}

fn called(call: String) {
    CALLS.with_borrow_mut(|calls| calls.push(call));
}

fn calls() -> Vec<String> {
    CALLS.take()
}

fn name(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| format!("{value:?}")).collect()
}

fn names(lists: &[Vec<Value>]) -> String {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let list = |values: &Vec<Value>| values.iter().map(text).collect::<Vec<_>>().join(":");
    lists.iter().map(list).collect::<Vec<_>>().join(" ")
}

/// As `#[derive(Table)]` makes it; the derive names this crate from outside.
#[derive(Debug, PartialEq)]
struct Account {
    id: String,
    balance: i64,
}

impl TableRow for Account {
    const TABLE: &'static str = "account";
    const COLUMNS: &'static [ColumnDef] = &[];
    type Key = String;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn set_key(&mut self, key: String) {
        self.id = key;
    }

    fn to_values(&self) -> Vec<Value> {
        vec![Value::Text(self.id.clone()), Value::Integer(self.balance)]
    }

    fn from_values(values: Vec<Value>) -> Result<Self, ValueError> {
        let [Value::Text(id), Value::Integer(balance)] = &values[..] else {
            return Err(ValueError::missing("balance"));
        };
        Ok(Account {
            id: id.clone(),
            balance: *balance,
        })
    }
}

type Accounts = Rows<Account, Fake>;

fn account(id: &str, balance: i64) -> Account {
    Account {
        id: id.to_owned(),
        balance,
    }
}

fn add(rows: &mut Accounts, id: &str, amount: i64) {
    let mut lent = rows.lend::<str>(id).expect("it can be read");
    let row = lent.row.get_or_insert_with(|| account(id, 0));
    row.balance += amount;
    rows.give_back::<str>(id, lent)
        .expect("the key is the same");
}

fn keys(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_row_that_changes_often_is_read_once_and_written_once() {
    let mut rows = Accounts::default();
    rows.fetch(keys(&["a", "b"])).expect("they can be read");
    for _ in 0..100 {
        add(&mut rows, "a", 1);
        add(&mut rows, "b", 2);
    }
    rows.flush().expect("the host takes them");
    assert_eq!(calls(), ["get account a b", "put account a:100 b:200"]);
}

#[test]
fn what_was_written_stays_in_hand() {
    let mut rows = Accounts::default();
    add(&mut rows, "a", 5);
    rows.flush().expect("the host takes it");
    calls();
    assert_eq!(rows.get::<str>("a"), Ok(Some(account("a", 5))));
    rows.fetch(keys(&["a"])).expect("it is there");
    rows.flush().expect("nothing is changed");
    assert_eq!(calls(), Vec::<String>::new());
}

#[test]
fn a_put_needs_no_look_at_what_was_there() {
    let mut rows = Accounts::default();
    rows.put(&account("a", 1)).expect("it is kept");
    rows.put(&account("a", 2)).expect("it is kept");
    assert_eq!(rows.get::<str>("a"), Ok(Some(account("a", 2))));
    rows.flush().expect("the host takes it");
    assert_eq!(rows.get::<str>("a"), Ok(Some(account("a", 2))));
    assert_eq!(calls(), ["put account a:2"]);
}

#[test]
fn a_deleted_row_is_gone_at_once_and_may_come_back() {
    let mut rows = Accounts::default();
    rows.put(&account("a", 1)).expect("it is kept");
    rows.put(&account("b", 1)).expect("it is kept");
    rows.delete("a".to_owned()).expect("it is kept");
    rows.delete("c".to_owned()).expect("it is kept");
    assert_eq!(rows.get::<str>("a"), Ok(None));
    rows.flush().expect("the host takes it");
    assert_eq!(calls(), ["delete account a c", "put account b:1"]);
    add(&mut rows, "a", 7);
    rows.flush().expect("the host takes it");
    assert_eq!(calls(), ["put account a:7"]);
}

#[test]
fn a_row_that_is_not_there_is_asked_for_once() {
    let mut rows = Accounts::default();
    assert_eq!(rows.get::<str>("a"), Ok(None));
    assert_eq!(rows.get::<str>("a"), Ok(None));
    let lent = rows.lend::<str>("a").expect("it is known");
    rows.give_back::<str>("a", lent)
        .expect("nothing was changed");
    rows.flush().expect("nothing is changed");
    assert_eq!(calls(), ["get account a"]);
}

#[test]
fn after_a_statement_rows_are_read_anew() {
    let hand = InHand::default();
    let rows = hand.rows::<Account, Fake>().expect("there is no other");
    add(&mut rows.borrow_mut(), "a", 1);
    hand.flush_and_forget().expect("the host takes it");
    // What the statement did.
    Fake::put("account", &[account("a", 10).to_values()]).expect("it is kept");
    calls();
    add(&mut rows.borrow_mut(), "a", 1);
    hand.flush().expect("the host takes it");
    assert_eq!(calls(), ["get account a", "put account a:11"]);
}

#[test]
fn a_statement_within_a_change_sees_all_but_that_change_which_follows() {
    let hand = InHand::default();
    let rows = hand.rows::<Account, Fake>().expect("there is no other");
    add(&mut rows.borrow_mut(), "a", 1);
    add(&mut rows.borrow_mut(), "b", 1);
    let mut lent = rows.borrow_mut().lend::<str>("a").expect("it is known");
    hand.flush_and_forget().expect("the host takes it");
    lent.row = Some(account("a", 3));
    rows.borrow_mut()
        .give_back::<str>("a", lent)
        .expect("the key is the same");
    hand.flush().expect("the host takes it");
    assert_eq!(
        calls(),
        [
            "get account a",
            "get account b",
            "put account b:1",
            "put account a:3"
        ]
    );
}

#[test]
fn a_row_that_is_being_changed_is_not_to_be_had() {
    let mut rows = Accounts::default();
    rows.put(&account("a", 1)).expect("it is kept");
    let lent = rows.lend::<str>("a").expect("it is known");
    let failure = rows.get::<str>("a").expect_err("somebody changes it");
    assert_eq!(
        failure.message(),
        "the row with the key [Value::Text(\"a\")] of table account is asked for while it is being changed; \
         take what you need before the change"
    );
    rows.give_back::<str>("a", lent)
        .expect("the key is the same");
    assert_eq!(rows.get::<str>("a"), Ok(Some(account("a", 1))));
}

#[test]
fn a_change_cannot_give_a_row_another_key() {
    let mut rows = Accounts::default();
    let mut lent = rows.lend::<str>("a").expect("it can be read");
    lent.row = Some(account("b", 1));
    let failure = rows
        .give_back::<str>("a", lent)
        .expect_err("the key is another");
    assert_eq!(
        failure.message(),
        "a change of the row with the key [Value::Text(\"a\")] of table account gave it another key; \
         put a new row and delete the old one"
    );
}

#[test]
fn many_changed_rows_go_out_before_the_chunk_ends() {
    let mut rows = Accounts::default();
    for number in 0..=CHANGED_ROWS_MAX {
        rows.put(&account(&number.to_string(), 1))
            .expect("it is kept");
    }
    assert_eq!(calls().len(), 1);
    rows.flush().expect("the host takes the last one");
    assert_eq!(calls(), [format!("put account {CHANGED_ROWS_MAX}:1")]);
}
