//! Text that comes from a guest and is meant for people: bounded, and without what a terminal or a log would obey.

/// Longest message of a refusal that is kept, in bytes. What a failure says is bounded where it is stored.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// One line: breaks and control characters are replaced.
pub fn line(text: &str, max_bytes: usize) -> String {
    shown(text, max_bytes, |_| false)
}

/// Lines and tabs stay.
pub fn block(text: &str, max_bytes: usize) -> String {
    shown(text, max_bytes, |character| {
        matches!(character, '\n' | '\t')
    })
}

fn shown(text: &str, max_bytes: usize, stays: impl Fn(char) -> bool) -> String {
    let mut kept: String = beginning(text, max_bytes)
        .chars()
        .map(|character| {
            if is_obeyed(character) && !stays(character) {
                '\u{FFFD}'
            } else {
                character
            }
        })
        .collect();
    if text.len() > max_bytes {
        kept.push_str(&format!("… ({} bytes in all)", text.len()));
    }
    kept
}

fn beginning(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Control characters, and those that turn the direction of what follows or break a line unseen.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::{block, line};

    #[test]
    fn nothing_is_left_to_obey() {
        let evil = "a\x1b[2J\r\nb\u{202E}c\0\td\u{9b}31m";
        assert_eq!(
            line(evil, 100),
            "a\u{FFFD}[2J\u{FFFD}\u{FFFD}b\u{FFFD}c\u{FFFD}\u{FFFD}d\u{FFFD}31m"
        );
        assert_eq!(
            block(evil, 100),
            "a\u{FFFD}[2J\u{FFFD}\nb\u{FFFD}c\u{FFFD}\td\u{FFFD}31m"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(line("plain", 5), "plain");
        assert_eq!(line("éééé", 3), "é… (8 bytes in all)");
    }
}
