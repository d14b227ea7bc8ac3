//! PostgreSQL's binary `numeric`, from and to decimal text: digits in base 10,000, exact in both directions.

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Digits before and behind the point that a parameter may have; PostgreSQL's own limit is higher.
const MAX_DIGITS: usize = 16_000;

/// The binary form of decimal text such as `-12.50`, `NaN` or `Infinity`; `None` when it is not a decimal.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let special = match text.trim() {
        "NaN" => Some(NAN),
        "Infinity" => Some(INFINITY),
        "-Infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        return Some(header(0, 0, sign, 0));
    }
    let (sign, unsigned) = match text.trim().strip_prefix('-') {
        Some(rest) => (NEGATIVE, rest),
        None => (POSITIVE, text.trim().trim_start_matches('+')),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit());
    if !all_digits || whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > MAX_DIGITS
    {
        return None;
    }
    // Groups of four, aligned at the point.
    let mut digits = "0".repeat((4 - whole.len() % 4) % 4) + whole;
    let groups_before = digits.len() / 4;
    digits.push_str(fraction);
    digits.push_str(&"0".repeat((4 - fraction.len() % 4) % 4));
    let groups: Vec<u16> = digits
        .as_bytes()
        .chunks(4)
        .map(|four| {
            four.iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..]
        .iter()
        .rev()
        .take_while(|group| **group == 0)
        .count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = if kept.is_empty() {
        0
    } else {
        i16::try_from(groups_before as i64 - 1 - leading as i64).ok()?
    };
    let sign = if kept.is_empty() { POSITIVE } else { sign };
    let mut bytes = header(
        u16::try_from(kept.len()).ok()?,
        weight,
        sign,
        u16::try_from(fraction.len()).ok()?,
    );
    kept.iter()
        .for_each(|group| bytes.extend(group.to_be_bytes()));
    Some(bytes)
}

fn header(groups: u16, weight: i16, sign: u16, scale: u16) -> Vec<u8> {
    [
        groups.to_be_bytes(),
        weight.to_be_bytes(),
        sign.to_be_bytes(),
        scale.to_be_bytes(),
    ]
    .concat()
}

/// The decimal text of a binary numeric, with as many digits behind the point as its scale says.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let field = |index: usize| {
        Some(u16::from_be_bytes(
            bytes.get(index * 2..index * 2 + 2)?.try_into().ok()?,
        ))
    };
    let (count, weight, sign, scale) = (
        field(0)?,
        field(1)? as i16,
        field(2)?,
        usize::from(field(3)?),
    );
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let group = |place: i32| -> Option<u16> {
        // The group that counts 10,000 to the power of `place`; absent groups are zeros.
        match usize::try_from(i32::from(weight) - place) {
            Ok(index) if index < usize::from(count) => field(4 + index),
            _ => Some(0),
        }
    };
    let mut text = String::new();
    for place in (0..=i32::from(weight).max(0)).rev() {
        text.push_str(&format!("{:04}", group(place)?));
    }
    let whole = text.trim_start_matches('0');
    let mut result = if sign == NEGATIVE {
        "-".to_owned()
    } else {
        String::new()
    };
    result.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        for place in 1..=i32::try_from(scale.div_ceil(4)).ok()? {
            fraction.push_str(&format!("{:04}", group(-place)?));
        }
        result.push('.');
        result.push_str(&fraction[..scale]);
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_scale_and_sign() {
        for text in [
            "0",
            "1",
            "-1",
            "0.00",
            "10000",
            "99999999",
            "-12.50",
            "0.0001",
            "0.00001",
            "123456789.000000001",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            assert_eq!(decode(&encode(text).expect(text)).as_deref(), Some(text));
        }
        assert_eq!(encode("one"), None);
        assert_eq!(encode("1e5"), None);
        assert_eq!(encode(""), None);
    }

    proptest! {
        #[test]
        fn every_decimal_survives(text in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?") {
            let unsigned_zero = text.trim_start_matches('-').bytes().all(|byte| byte == b'0' || byte == b'.');
            prop_assume!(!unsigned_zero);
            prop_assert_eq!(decode(&encode(&text).unwrap()), Some(text));
        }
    }
}
