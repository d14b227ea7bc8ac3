//! The words of an SQL statement, as PostgreSQL's scanner sees them: outside of comments and of text in quotes.

/// A part of a statement. What is neither name nor text is a symbol, one character at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or name, in lower case as the server takes it.
    Word(String),
    /// A name in double quotes, as it is written inside.
    Quoted(String),
    Symbol(char),
    /// Text, a number or a parameter: nothing that names anything.
    Value,
}

/// Why a statement cannot be read with certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// `U&"..."`: a name that does not stand there as it is.
    UnicodeName,
    /// `E'...'` that goes on in another pair of quotes.
    ContinuedEscape,
    /// A quote or comment that does not end.
    Unended,
}

/// A token and where it stands, in bytes.
pub(super) struct Placed {
    pub token: Token,
    pub begin: usize,
    pub end: usize,
}

/// Reads the whole statement.
pub(super) fn tokens(statement: &str) -> Result<Vec<Token>, Unclear> {
    let placed = placed_tokens(statement)?.into_iter();
    Ok(placed.map(|placed| placed.token).collect())
}

/// The same, with places.
pub(super) fn placed_tokens(statement: &str) -> Result<Vec<Placed>, Unclear> {
    let mut scanner = Scanner { rest: statement };
    let mut found = Vec::new();
    loop {
        scanner.skip_blank()?;
        let begin = statement.len() - scanner.rest.len();
        let Some(token) = scanner.next()? else {
            return Ok(found);
        };
        let end = statement.len() - scanner.rest.len();
        found.push(Placed { token, begin, end });
    }
}

/// Other spaces are letters to the server.
const BLANK: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// The token that begins here.
    fn next(&mut self) -> Result<Option<Token>, Unclear> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '\'' => self.text(Escapes::Doubled)?,
            '"' => self.quoted()?,
            '$' => self.dollar()?,
            _ if begins_word(first) => self.word()?,
            '0'..='9' => {
                // Digits alone: what follows them may begin a text, as in 1e'..'.
                self.take_while(|c| c.is_ascii_digit() || c == '.');
                Token::Value
            }
            symbol => {
                self.advance(symbol.len_utf8());
                Token::Symbol(symbol)
            }
        };
        Ok(Some(token))
    }

    fn skip_blank(&mut self) -> Result<(), Unclear> {
        loop {
            self.rest = self.rest.trim_start_matches(BLANK);
            if self.rest.starts_with("--") {
                let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
                self.advance(end);
            } else if self.rest.starts_with("/*") {
                self.skip_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Comments in comments are comments.
    fn skip_comment(&mut self) -> Result<(), Unclear> {
        let mut depth = 0_u32;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.advance(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.advance(2);
                if depth == 0 {
                    return Ok(());
                }
            } else {
                let next = self.rest.chars().next().ok_or(Unclear::Unended)?;
                self.advance(next.len_utf8());
            }
        }
    }

    fn word(&mut self) -> Result<Token, Unclear> {
        let word = self.take_while(|c| begins_word(c) || c.is_ascii_digit() || c == '$');
        let word = word.to_ascii_lowercase();
        // These begin texts and names where a quote follows at once.
        match (word.as_str(), self.rest.as_bytes().first()) {
            ("e", Some(b'\'')) => self.text(Escapes::Backslash),
            ("b" | "x" | "n", Some(b'\'')) => self.text(Escapes::Doubled),
            ("u", Some(b'&')) if self.rest.starts_with("&'") => {
                self.advance(1);
                self.text(Escapes::Doubled)
            }
            ("u", Some(b'&')) if self.rest.starts_with("&\"") => Err(Unclear::UnicodeName),
            _ => Ok(Token::Word(word)),
        }
    }

    /// A text, from its opening quote on.
    fn text(&mut self, escapes: Escapes) -> Result<Token, Unclear> {
        self.advance(1);
        loop {
            let next = self.rest.chars().next().ok_or(Unclear::Unended)?;
            self.advance(next.len_utf8());
            match (next, escapes) {
                ('\\', Escapes::Backslash) => {
                    let escaped = self.rest.chars().next().ok_or(Unclear::Unended)?;
                    self.advance(escaped.len_utf8());
                }
                ('\'', _) if self.rest.starts_with('\'') => self.advance(1),
                ('\'', Escapes::Doubled) => return Ok(Token::Value),
                ('\'', Escapes::Backslash) => {
                    // On a later line the text goes on, with backslashes; whoever reads it as a new one reads it wrong.
                    self.skip_blank()?;
                    return match self.rest.starts_with('\'') {
                        true => Err(Unclear::ContinuedEscape),
                        false => Ok(Token::Value),
                    };
                }
                _ => {}
            }
        }
    }

    fn quoted(&mut self) -> Result<Token, Unclear> {
        self.advance(1);
        let mut name = String::new();
        loop {
            let next = self.rest.chars().next().ok_or(Unclear::Unended)?;
            self.advance(next.len_utf8());
            match next {
                '"' if self.rest.starts_with('"') => {
                    self.advance(1);
                    name.push('"');
                }
                '"' => return Ok(Token::Quoted(name)),
                other => name.push(other),
            }
        }
    }

    /// A parameter, or a text between dollars.
    fn dollar(&mut self) -> Result<Token, Unclear> {
        let after = &self.rest[1..];
        let tag_length = after
            .find(|c: char| !(begins_word(c) || c.is_ascii_digit()))
            .unwrap_or(after.len());
        let begins_with_digit = after.starts_with(|c: char| c.is_ascii_digit());
        if begins_with_digit || !after[tag_length..].starts_with('$') {
            self.advance(1);
            self.take_while(|c| c.is_ascii_digit());
            return Ok(Token::Value);
        }
        let delimiter = self.rest[..tag_length + 2].to_owned();
        let body = &self.rest[delimiter.len()..];
        let end = body.find(&delimiter).ok_or(Unclear::Unended)?;
        self.advance(delimiter.len() * 2 + end);
        Ok(Token::Value)
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self
            .rest
            .find(|c: char| !belongs(c))
            .unwrap_or(self.rest.len());
        let taken = self.rest[..end].to_owned();
        self.advance(end);
        taken
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }
}

/// What a quote inside a text is written with.
#[derive(Clone, Copy)]
enum Escapes {
    Doubled,
    Backslash,
}

fn begins_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(statement: &str) -> Vec<String> {
        tokens(statement)
            .expect("it can be read")
            .into_iter()
            .filter_map(|token| match token {
                Token::Word(word) => Some(word),
                Token::Quoted(name) => Some(format!("\"{name}\"")),
                Token::Symbol(_) | Token::Value => None,
            })
            .collect()
    }

    #[test]
    fn finds_words_outside_of_comments_and_texts() {
        for (statement, expected) in [
            ("SELECT a FROM t", "select a from t"),
            (
                "select 'into' -- into\n, x /* into /* into */ into */ y",
                "select x y",
            ),
            ("select E'it\\'s into' x", "select x"),
            ("select 'it\\' into", "select into"),
            ("select 'a''into' x", "select x"),
            (
                "select $$into$$ a, $q$ into $$ into $q$ b, $1 into",
                "select a b into",
            ),
            ("select a$b$c, U&'into' d", "select a$b$c d"),
            ("select \"In\"\"to\" x", "select \"In\"to\" x"),
            ("select 1e5 x, 1.into y", "select e5 x into y"),
            ("select 1e'\\'' into", "select into"),
            ("select \u{a0}e'\\' into", "select \u{a0}e into"),
            ("select b'1' x'ff' n'into' z", "select z"),
        ] {
            assert_eq!(words(statement).join(" "), expected, "{statement}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read_with_certainty() {
        for (statement, expected) in [
            ("select U&\"set\\005fconfig\"('a')", Unclear::UnicodeName),
            ("select u&\"x\"", Unclear::UnicodeName),
            ("select E'a'\n'\\' into x --'", Unclear::ContinuedEscape),
            ("select 'a", Unclear::Unended),
            ("select \"a", Unclear::Unended),
            ("select /* a /* b */", Unclear::Unended),
            ("select $a$ b $$", Unclear::Unended),
        ] {
            assert_eq!(tokens(statement), Err(expected), "{statement}");
        }
    }
}
