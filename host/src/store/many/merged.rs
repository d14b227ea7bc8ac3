//! Several INSERTs of one row made into one INSERT of several rows, where that is the same.
//!
//! It is, for `INSERT INTO table (columns) VALUES ($1, ..)` with nothing but parameters as values, and at most an
//! `ON CONFLICT` behind it that reads no other row: the server takes the rows one after the other. Only a row that conflicts
//! with one of the same statement is refused, so lists with the same key go out in statements of their own.

use std::collections::HashSet;
use std::ops::Range;

use sqlx::TypeInfo as _;
use sqlx::postgres::PgTypeInfo;

use super::encoded::{ArrayType, Encoded};
use crate::store::tokens::{Placed, Token, placed_tokens};

/// Types by the names that the driver has for them, as SQL writes them, and with the numbers that the server has for each and for arrays
/// of it. Whatever has another goes another way.
const TYPES: [(&str, &str, u32, u32); 15] = [
    ("TEXT", "text", 25, 1009),
    ("VARCHAR", "varchar", 1043, 1015),
    ("INT2", "int2", 21, 1005),
    ("INT4", "int4", 23, 1007),
    ("INT8", "int8", 20, 1016),
    ("BOOL", "bool", 16, 1000),
    ("FLOAT4", "float4", 700, 1021),
    ("FLOAT8", "float8", 701, 1022),
    ("NUMERIC", "numeric", 1700, 1231),
    ("UUID", "uuid", 2950, 2951),
    ("DATE", "date", 1082, 1182),
    ("TIMESTAMP", "timestamp", 1114, 1115),
    ("TIMESTAMPTZ", "timestamptz", 1184, 1185),
    ("JSON", "json", 114, 199),
    ("JSONB", "jsonb", 3802, 3807),
];

/// Types of which equal values have equal bytes: of others one could not tell which lists have the same key.
const KEY_TYPES: [&str; 9] = [
    "TEXT",
    "VARCHAR",
    "INT2",
    "INT4",
    "INT8",
    "BOOL",
    "UUID",
    "DATE",
    "TIMESTAMPTZ",
];

/// Words after which a statement reads more than the row in hand.
const READING_WORDS: [&str; 5] = ["select", "table", "values", "with", "returning"];

/// How lists of parameters go out together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// Takes one array for each parameter.
    pub sql: String,
    /// The types of these.
    pub arrays: Vec<ArrayType>,
    /// Places of the parameters by which rows conflict; empty: none does.
    key: Vec<usize>,
    /// Each list touches one row, or the statement fails.
    pub touches_each: bool,
}

/// What an INSERT does with a row that is there already.
#[derive(Debug, PartialEq, Eq)]
enum Conflict {
    Fails,
    Ignored,
    /// Places of the parameters by which it is found, and whether a condition may leave it as it is.
    Updated {
        key: Vec<usize>,
        on_condition: bool,
    },
}

impl Merged {
    /// `None`: the statement is of another kind.
    pub fn of(statement: &str, types: &[PgTypeInfo]) -> Option<Merged> {
        let names: Vec<&str> = types.iter().map(|info| info.name()).collect();
        Merged::with(statement, &names)
    }

    fn with(statement: &str, types: &[&str]) -> Option<Merged> {
        let tokens = placed_tokens(statement).ok()?;
        let mut rest = Rest {
            statement,
            tokens: &tokens,
        };
        rest.word("insert")?;
        rest.word("into")?;
        rest.name()?;
        if rest.symbol('.').is_some() {
            rest.name()?;
        }
        if rest.word("as").is_some() {
            rest.name()?;
        }
        let columns = rest.list(Rest::name)?;
        let values_at = rest.tokens.first()?.begin;
        rest.word("values")?;
        let places = rest.list(Rest::parameter)?;
        let tail_at = rest
            .tokens
            .first()
            .map_or(statement.len(), |next| next.begin);
        if columns.len() != places.len() {
            return None;
        }
        let (key, touches_each) = match rest.conflict(&columns, &places)? {
            Conflict::Fails => (Vec::new(), true),
            Conflict::Ignored => (Vec::new(), false),
            Conflict::Updated { key, on_condition } => (key, !on_condition),
        };
        let all: HashSet<usize> = places.iter().copied().collect();
        if all.len() != types.len() || all.iter().any(|place| *place >= types.len()) {
            return None;
        }
        if key.iter().any(|place| !KEY_TYPES.contains(&types[*place])) {
            return None;
        }
        let known = |name: &&str| TYPES.iter().find(|(known, ..)| known == name);
        let known: Vec<_> = types.iter().map(known).collect::<Option<_>>()?;
        let unnest = |place: &usize| {
            let (_, name, ..) = known[*place];
            format!("pg_catalog.unnest(${}::pg_catalog.{name}[])", place + 1)
        };
        // Not FROM unnest(..): that would keep all rows in a place of its own before the first is inserted.
        let columns: Vec<String> = places.iter().map(unnest).collect();
        let sql = format!(
            "{} SELECT {} {}",
            &statement[..values_at],
            columns.join(", "),
            &statement[tail_at..]
        );
        let arrays = known.iter().map(|(_, _, element, array)| ArrayType {
            element: *element,
            array: *array,
        });
        Some(Merged {
            sql,
            arrays: arrays.collect(),
            key,
            touches_each,
        })
    }

    /// The lists in statements whose rows do not conflict with one another, and have no more than so many. Their order stays.
    pub fn runs(&self, lists: &Encoded, lists_max: usize) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut begin = 0;
        let mut keys = HashSet::new();
        for index in 0..lists.len() {
            let key = || -> Vec<Option<&[u8]>> {
                let place = |place: &usize| lists.get(index, *place);
                self.key.iter().map(place).collect()
            };
            let conflicts = !self.key.is_empty() && !keys.insert(key());
            if conflicts || index - begin == lists_max {
                runs.push(begin..index);
                begin = index;
                keys = HashSet::from([key()]);
            }
        }
        if begin < lists.len() {
            runs.push(begin..lists.len());
        }
        runs
    }
}

/// What of a statement is not read yet. Whatever is not as expected is `None`, and then there is no more to be said.
struct Rest<'a> {
    statement: &'a str,
    tokens: &'a [Placed],
}

impl Rest<'_> {
    fn word(&mut self, word: &str) -> Option<()> {
        self.take(|token| matches!(token, Token::Word(found) if found == word))?;
        Some(())
    }

    fn symbol(&mut self, symbol: char) -> Option<()> {
        self.take(|token| *token == Token::Symbol(symbol))?;
        Some(())
    }

    /// A name as the server takes it.
    fn name(&mut self) -> Option<String> {
        let token = self.take(|token| matches!(token, Token::Word(_) | Token::Quoted(_)))?;
        match &token.token {
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Symbol(_) | Token::Value => None,
        }
    }

    /// The place of a parameter, from 0.
    fn parameter(&mut self) -> Option<usize> {
        let statement = self.statement;
        let token = self.take(|token| *token == Token::Value)?;
        let number = statement[token.begin..token.end].strip_prefix('$')?;
        number.parse::<usize>().ok()?.checked_sub(1)
    }

    /// Something in parentheses, one after the other.
    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.symbol('(')?;
        let mut all = vec![one(self)?];
        while self.symbol(',').is_some() {
            all.push(one(self)?);
        }
        self.symbol(')')?;
        Some(all)
    }

    /// What is left: nothing, or an ON CONFLICT.
    fn conflict(&mut self, columns: &[String], places: &[usize]) -> Option<Conflict> {
        if self.tokens.is_empty() {
            return Some(Conflict::Fails);
        }
        self.word("on")?;
        self.word("conflict")?;
        let target = match self.tokens.first()?.token {
            Token::Symbol('(') => self.list(Rest::name)?,
            _ => Vec::new(),
        };
        self.word("do")?;
        if self.word("nothing").is_some() {
            return self.tokens.is_empty().then_some(Conflict::Ignored);
        }
        self.word("update")?;
        let reads_on = self.tokens.iter().any(|placed| match &placed.token {
            Token::Word(word) => READING_WORDS.contains(&word.as_str()),
            Token::Value => self.statement[placed.begin..].starts_with('$'),
            Token::Symbol(symbol) => *symbol == ';',
            Token::Quoted(_) => false,
        });
        if reads_on || target.is_empty() {
            return None;
        }
        let place = |name: &String| {
            let index = columns.iter().position(|column| column == name)?;
            Some(places[index])
        };
        let is_where =
            |placed: &Placed| matches!(&placed.token, Token::Word(word) if word == "where");
        Some(Conflict::Updated {
            key: target.iter().map(place).collect::<Option<_>>()?,
            on_condition: self.tokens.iter().any(is_where),
        })
    }

    fn take(&mut self, is_it: impl Fn(&Token) -> bool) -> Option<&Placed> {
        let (first, rest) = self.tokens.split_first()?;
        if !is_it(&first.token) {
            return None;
        }
        self.tokens = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Type as _;

    use super::*;
    use crate::store::value::Value;

    const TYPES_OF_TWO: [&str; 2] = ["TEXT", "INT8"];

    #[test]
    fn rows_of_parameters_are_merged() {
        let upsert = "INSERT INTO s.t AS a (\"Id\", n) VALUES ($1, $2)\nON CONFLICT (\"Id\") DO UPDATE SET n = a.n + excluded.n -- adds";
        let merged = Merged::with(upsert, &TYPES_OF_TWO).expect("it can be");
        assert_eq!(
            merged.sql,
            "INSERT INTO s.t AS a (\"Id\", n)  SELECT pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.int8[]) \
             ON CONFLICT (\"Id\") DO UPDATE SET n = a.n + excluded.n -- adds"
        );
        assert_eq!(merged.key, [0]);
        let swapped = Merged::with("insert into t (a, b) values ($2, $1)", &TYPES_OF_TWO);
        let sql = swapped.expect("it can be").sql;
        let columns =
            "pg_catalog.unnest($2::pg_catalog.int8[]), pg_catalog.unnest($1::pg_catalog.text[])";
        assert!(sql.contains(columns), "{sql}");
        let ignoring = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        assert_eq!(
            Merged::with(ignoring, &TYPES_OF_TWO)
                .expect("it can be")
                .key,
            [0; 0]
        );
    }

    #[test]
    fn how_many_rows_are_touched_is_known_where_none_may_be_left_as_it_is() {
        let insert = "INSERT INTO t (a, b) VALUES ($1, $2)";
        for (tail, touches_each) in [
            ("", true),
            ("ON CONFLICT (a) DO UPDATE SET b = excluded.b", true),
            ("ON CONFLICT DO NOTHING", false),
            ("ON CONFLICT (a) DO NOTHING", false),
            (
                "ON CONFLICT (a) DO UPDATE SET b = 1 WHERE t.b < excluded.b",
                false,
            ),
        ] {
            let merged = Merged::with(&format!("{insert} {tail}"), &TYPES_OF_TWO);
            assert_eq!(merged.expect(tail).touches_each, touches_each, "{tail}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_not() {
        for statement in [
            "UPDATE t SET a = $1 WHERE b = $2",
            "INSERT INTO t VALUES ($1, $2)",
            "INSERT INTO t (a, b) VALUES ($1, $2), ($1, $2)",
            "INSERT INTO t (a, b) VALUES ($1, $2 + 1)",
            "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING a",
            "INSERT INTO t (a, b) VALUES ($1, $$2$$)",
            "INSERT INTO t (a, b) SELECT $1, $2",
            "INSERT INTO t (a, b) OVERRIDING SYSTEM VALUE VALUES ($1, $2)",
            "WITH x AS (SELECT 1) INSERT INTO t (a, b) VALUES ($1, $2)",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET n = $2",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (c) DO UPDATE SET b = 1",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (lower(a)) DO UPDATE SET b = 1",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT c DO UPDATE SET b = 1",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = (SELECT count(*) FROM t)",
        ] {
            assert_eq!(Merged::with(statement, &TYPES_OF_TWO), None, "{statement}");
        }
        let insert = "INSERT INTO t (a, b) VALUES ($1, $2)";
        assert_eq!(Merged::with(insert, &["TEXT", "POINT"]), None);
        let upsert = format!("{insert} ON CONFLICT (a) DO UPDATE SET b = 1");
        assert_eq!(
            Merged::with(&upsert, &["NUMERIC", "INT8"]),
            None,
            "1.0 and 1.00 are one key"
        );
    }

    #[test]
    fn lists_of_one_key_are_in_statements_of_their_own() {
        let mut lists = Encoded::default();
        let types = [String::type_info(), i64::type_info()];
        for key in ["a", "b", "a", "c", "b", "b"] {
            let list = [Value::Text(key.to_owned()), Value::Null];
            lists.add(&types, &list).expect("they fit");
        }
        let lengths = |statement, lists_max| {
            let merged = Merged::with(statement, &TYPES_OF_TWO).expect("it can be");
            let runs = merged.runs(&lists, lists_max);
            runs.iter().map(|run| run.len()).collect::<Vec<_>>()
        };
        let insert = "INSERT INTO t (a, b) VALUES ($1, $2)";
        assert_eq!(lengths(insert, 6), [6]);
        assert_eq!(lengths(insert, 4), [4, 2]);
        let upsert = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = 1";
        assert_eq!(lengths(upsert, 6), [2, 3, 1]);
        assert_eq!(lengths(upsert, 2), [2, 2, 1, 1]);
    }
}
