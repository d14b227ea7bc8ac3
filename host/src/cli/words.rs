//! Numbers and times as people read them.

use time::{Duration, OffsetDateTime};

/// `1234567` as `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match number {
        ..0 => format!("-{text}"),
        _ => text,
    }
}

/// How long ago something was, in the largest unit that fits.
pub fn ago(then: OffsetDateTime, now: OffsetDateTime) -> String {
    length(now - then)
}

/// A length of time in the largest unit that fits: `12 s`, `5 min`, `3 h`, `2 d`.
pub fn length(length: Duration) -> String {
    match length.whole_seconds().max(0) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The beginning of a text that a guest may have made long: so many lines, each so long, and how much is left out.
pub fn beginning(text: &str, lines_max: usize, chars_max: usize) -> Vec<String> {
    let all = text.lines().count();
    let shown = text.lines().take(lines_max);
    let mut lines: Vec<String> = shown.map(|line| cut(line, chars_max)).collect();
    if all > lines_max {
        lines.push(format!("… {} more lines", all - lines_max));
    }
    lines
}

fn cut(line: &str, chars_max: usize) -> String {
    match line.char_indices().nth(chars_max) {
        None => line.to_owned(),
        Some((end, _)) => {
            let left_out = line[end..].chars().count();
            format!("{}… {left_out} more characters", &line[..end])
        }
    }
}

/// `one`, `2 of these`: a count with its noun.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// Bytes in the largest binary unit that fits.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..=1_023 => format!("{bytes} bytes"),
        1_024..=1_048_575 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::{grouped, length, size};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (262_200, "262,200"),
            (-1_234_567, "-1,234,567"),
        ];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn lengths_and_sizes_take_the_largest_unit_that_fits() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(length(Duration::seconds(seconds)), expected);
        }
        for (bytes, expected) in [(12, "12 bytes"), (1_025, "2 KiB"), (3_145_728, "3.0 MiB")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
