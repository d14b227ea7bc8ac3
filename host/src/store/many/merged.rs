//! Several INSERTs of one row made into one INSERT of several rows, where that is the same.
//!
//! It is, for `INSERT INTO table (columns) VALUES ($1, ..)` with nothing but parameters as values, and at most an
//! `ON CONFLICT` behind it that reads no other row: the server takes the rows one after the other. Only a row that conflicts
//! with one of the same statement is refused, so lists with the same key go out in statements of their own.

use std::collections::{HashMap, HashSet};

use sqlx::TypeInfo as _;
use sqlx::postgres::PgTypeInfo;

use super::encoded::{ArrayType, Encoded};
use crate::store::quote;
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

/// What looks like a call of a function before a parenthesis and only chooses among values.
const CHOOSING_WORDS: [&str; 12] = [
    "and", "coalesce", "else", "greatest", "in", "least", "not", "nullif", "or", "then", "when",
    "where",
];

/// Lists of parameters that go out in one statement, by their numbers.
pub(super) type Run = Vec<usize>;

/// How lists of parameters go out together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// Takes one array for each parameter.
    pub sql: String,
    /// The table, as SQL writes it.
    pub table: String,
    /// The columns that have a parameter.
    pub columns: Vec<String>,
    /// The types of these.
    pub arrays: Vec<ArrayType>,
    /// Places of the parameters by which rows conflict; empty: none does.
    key: Vec<usize>,
    /// Each list touches one row, or the statement fails.
    pub touches_each: bool,
    /// What becomes of a row is said by the values in it and in its list alone, as far as the statement can tell.
    pub looks_independent: bool,
}

/// What an INSERT does with a row that is there already.
#[derive(Debug, PartialEq, Eq)]
enum Conflict {
    Fails,
    Ignored,
    /// Places of the parameters by which it is found, whether a condition may leave it as it is, and whether a function has a say in it.
    Updated {
        key: Vec<usize>,
        on_condition: bool,
        calls: bool,
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
        let mut table = quote(&rest.name()?);
        if rest.symbol('.').is_some() {
            table = format!("{table}.{}", quote(&rest.name()?));
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
        let (key, touches_each, looks_independent) = match rest.conflict(&columns, &places)? {
            Conflict::Fails => (Vec::new(), true, false),
            Conflict::Ignored => (Vec::new(), false, false),
            Conflict::Updated {
                key,
                on_condition,
                calls,
            } => (key, !on_condition, !calls),
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
        let unnested: Vec<String> = places.iter().map(unnest).collect();
        let sql = format!(
            "{} SELECT {} {}",
            &statement[..values_at],
            unnested.join(", "),
            &statement[tail_at..]
        );
        let arrays = known.iter().map(|(_, _, element, array)| ArrayType {
            element: *element,
            array: *array,
        });
        Some(Merged {
            sql,
            table,
            columns,
            arrays: arrays.collect(),
            key,
            touches_each,
            looks_independent,
        })
    }

    /// Whether it may change rows that are there.
    pub fn overwrites(&self) -> bool {
        !self.key.is_empty()
    }

    /// The lists in statements whose rows do not conflict with one another, and have no more than so many. Their order stays.
    pub fn runs(&self, lists: &Encoded, lists_max: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut run = Run::new();
        let mut keys = HashSet::new();
        for index in 0..lists.len() {
            let conflicts = !self.key.is_empty() && !keys.insert(self.key_of(lists, index));
            if conflicts || run.len() == lists_max {
                runs.push(std::mem::take(&mut run));
                keys = HashSet::from([self.key_of(lists, index)]);
            }
            run.push(index);
        }
        if !run.is_empty() {
            runs.push(run);
        }
        runs
    }

    /// The same in as few statements as there can be: first the first list of each key, then the second ones. The order of lists stays
    /// within a key alone, so rows have to be independent. And how many lists have a key of their own, or were the first to have it.
    pub fn runs_by_turn(&self, lists: &Encoded, lists_max: usize) -> (Vec<Run>, usize) {
        let mut turns: Vec<Run> = Vec::new();
        let mut next_turns: HashMap<Vec<Option<&[u8]>>, usize> = HashMap::new();
        for index in 0..lists.len() {
            let turn = next_turns.entry(self.key_of(lists, index)).or_default();
            if turns.len() == *turn {
                turns.push(Run::new());
            }
            turns[*turn].push(index);
            *turn += 1;
        }
        let runs = turns.iter().flat_map(|turn| turn.chunks(lists_max));
        let runs = runs.map(<[usize]>::to_vec).collect();
        (runs, next_turns.len())
    }

    fn key_of<'a>(&self, lists: &'a Encoded, index: usize) -> Vec<Option<&'a [u8]>> {
        let place = |place: &usize| lists.get(index, *place);
        self.key.iter().map(place).collect()
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
        if reads_on || target.is_empty() || self.assigns_to_any(&target) {
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
            calls: self.calls_functions(),
        })
    }

    /// Whether one of these columns gets another value, or that cannot be said.
    fn assigns_to_any(&self, columns: &[String]) -> bool {
        let mut depth = 0;
        let mut begins = false;
        for placed in self.tokens {
            let assigned = std::mem::take(&mut begins);
            match &placed.token {
                Token::Word(name) | Token::Quoted(name) if assigned && columns.contains(name) => {
                    return true;
                }
                Token::Symbol('(') if assigned => return true,
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                Token::Symbol(',') => begins = depth == 0,
                Token::Word(word) => begins = depth == 0 && word == "set",
                Token::Quoted(_) | Token::Symbol(_) | Token::Value => {}
            }
        }
        false
    }

    /// Whether anything looks like a call of a function, or of an operator by its name.
    fn calls_functions(&self) -> bool {
        self.tokens.windows(2).any(|pair| {
            let is_name = match &pair[0].token {
                Token::Word(word) => !CHOOSING_WORDS.contains(&word.as_str()),
                Token::Quoted(_) => true,
                Token::Symbol(_) | Token::Value => false,
            };
            is_name && pair[1].token == Token::Symbol('(')
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
        assert_eq!(merged.table, "\"s\".\"t\"");
        assert_eq!(merged.columns, ["Id", "n"]);
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
    fn rows_look_independent_where_only_their_own_values_have_a_say() {
        for (tail, looks_independent) in [
            ("b = coalesce(excluded.b, (t.b + 1))", true),
            ("b = CASE WHEN (t.b IN (1, 2)) THEN 1 ELSE (2) END", true),
            (
                "b = 1 WHERE (t.a = 'x') AND NOT (t.b = 2) OR (t.b = 3)",
                true,
            ),
            ("b = nextval('s')", false),
            ("b = \"f\"(1)", false),
            ("b = t.b OPERATOR(pg_catalog.+) 1", false),
            ("b = 1 WHERE f (t.b)", false),
        ] {
            let upsert = format!(
                "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET {tail}"
            );
            let merged = Merged::with(&upsert, &TYPES_OF_TWO).expect(tail);
            assert_eq!(merged.looks_independent, looks_independent, "{tail}");
        }
        for tail in ["", "ON CONFLICT DO NOTHING", "ON CONFLICT (a) DO NOTHING"] {
            let insert = format!("INSERT INTO t (a, b) VALUES ($1, $2) {tail}");
            let merged = Merged::with(&insert, &TYPES_OF_TWO).expect(tail);
            assert!(
                !merged.looks_independent,
                "there is nothing to gain: {tail}"
            );
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
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET a = 'x'",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = coalesce(t.b, 1), \"a\" = 'x'",
            "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET (b) = ROW (1)",
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

    /// Lists of which some have the same key.
    fn six_lists() -> Encoded {
        let mut lists = Encoded::default();
        let types = [String::type_info(), i64::type_info()];
        for key in ["a", "b", "a", "c", "b", "b"] {
            let list = [Value::Text(key.to_owned()), Value::Null];
            lists.add(&types, &list).expect("they fit");
        }
        lists
    }

    #[test]
    fn lists_of_one_key_have_their_turns() {
        let lists = six_lists();
        let upsert = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = 1";
        let merged = Merged::with(upsert, &TYPES_OF_TWO).expect("it can be");
        let runs = [vec![0, 1, 3], vec![2, 4], vec![5]];
        assert_eq!(merged.runs_by_turn(&lists, 6), (runs.to_vec(), 3));
        let runs = [vec![0, 1], vec![3], vec![2, 4], vec![5]];
        assert_eq!(merged.runs_by_turn(&lists, 2), (runs.to_vec(), 3));
    }

    #[test]
    fn lists_of_one_key_are_in_statements_of_their_own() {
        let lists = six_lists();
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
