//! How foreign text appears in a message: quoted, escaped and cut, since a guest may hand us anything.

/// Characters of a foreign text that a message shows.
const SHOWN_CHARS_MAX: usize = 64;
/// Characters of a longer description, such as a filter's.
const SENTENCE_CHARS_MAX: usize = 240;

/// The text between backticks, control characters escaped, cut after [`SHOWN_CHARS_MAX`] characters.
pub(crate) fn quoted(text: &str) -> String {
    let (shown, rest) = cut_at(text, SHOWN_CHARS_MAX);
    format!("`{}{rest}`", shown.escape_debug())
}

/// The text without quotes, cut after [`SENTENCE_CHARS_MAX`] characters. It holds no control characters: a
/// filter is checked before it is shown.
pub(crate) fn cut(text: &str) -> String {
    let (shown, rest) = cut_at(text, SENTENCE_CHARS_MAX);
    format!("{shown}{rest}")
}

/// The beginning of the text, and `..` if that is not all of it.
fn cut_at(text: &str, chars_max: usize) -> (&str, &'static str) {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => (&text[..end], ".."),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, quoted};

    #[test]
    fn cuts_and_escapes_what_a_guest_says() {
        assert_eq!(quoted("accounts_1"), "`accounts_1`");
        assert_eq!(quoted("a\u{1b}[2J"), "`a\\u{1b}[2J`");
        assert_eq!(quoted(&"é".repeat(70)), format!("`{}..`", "é".repeat(64)));
    }

    #[test]
    fn cuts_long_descriptions() {
        assert_eq!(cut("every event"), "every event");
        assert_eq!(cut(&"é".repeat(240)), "é".repeat(240));
        assert_eq!(cut(&"é".repeat(241)), format!("{}..", "é".repeat(240)));
    }
}
