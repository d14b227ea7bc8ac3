//! Points in time and days, as plain numbers with just enough calendar (proleptic Gregorian, UTC).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::str::FromStr;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. A `timestamptz` column; RFC 3339 text in JSON and `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The day in UTC.
    pub const fn date(self) -> Date {
        Date(self.0.div_euclid(MICROS_PER_DAY) as i32)
    }

    /// The hour of the day in UTC, 0 to 23.
    pub const fn hour(self) -> u8 {
        (self.0.rem_euclid(MICROS_PER_DAY) / MICROS_PER_HOUR) as u8
    }

    /// The whole hour as text, such as `2011-10-01T06`.
    pub fn hour_text(self) -> String {
        format!("{}T{:02}", self.date(), self.hour())
    }

    /// So many seconds later.
    pub const fn plus_seconds(self, seconds: i64) -> Timestamp {
        Timestamp(self.0 + seconds * MICROS_PER_SECOND)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = micros / MICROS_PER_SECOND;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(out, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        match micros % MICROS_PER_SECOND {
            0 => out.write_str("Z"),
            fraction => write!(out, ".{fraction:06}Z"),
        }
    }
}

/// A day: days since 1970-01-01. A `date` column; `2011-10-01` in JSON and `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(i32);

impl Date {
    /// From days since 1970-01-01.
    pub const fn from_days(days: i32) -> Date {
        Date(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// So many days later.
    pub const fn plus_days(self, days: i32) -> Date {
        Date(self.0 + days)
    }

    /// Midnight in UTC.
    pub const fn midnight(self) -> Timestamp {
        Timestamp(self.0 as i64 * MICROS_PER_DAY)
    }

    /// Year, month and day.
    pub const fn civil(self) -> (i32, u8, u8) {
        // Eras of 400 years of 146,097 days, years beginning in March: Howard Hinnant's `civil_from_days`.
        let days = self.0 as i64 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = era * 400 + year_of_era + (month <= 2) as i64;
        (year as i32, month as u8, day as u8)
    }

    /// From year, month and day; nothing when there is no such day.
    pub fn from_civil(year: i32, month: u8, day: u8) -> Option<Date> {
        let shifted_year = i64::from(year) - i64::from(month <= 2);
        let era = shifted_year.div_euclid(400);
        let year_of_era = shifted_year.rem_euclid(400);
        let shifted_month = (i64::from(month) + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Date(i32::try_from(era * 146_097 + day_of_era - 719_468).ok()?);
        (date.civil() == (year, month, day)).then_some(date)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

/// Text that is no date or no point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTimeError(String);

impl fmt::Display for ParseTimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is neither a day such as 2011-10-01 nor a time such as 2011-10-01T06:08:58.25Z",
            self.0
        )
    }
}

impl std::error::Error for ParseTimeError {}

impl FromStr for Date {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Date, ParseTimeError> {
        parse_date(text).ok_or_else(|| ParseTimeError(text.to_owned()))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Timestamp, ParseTimeError> {
        parse_timestamp(text).ok_or_else(|| ParseTimeError(text.to_owned()))
    }
}

fn parse_date(text: &str) -> Option<Date> {
    let (year, rest) = text.split_at_checked(4)?;
    let (month, day) = rest.strip_prefix('-')?.split_once('-')?;
    Date::from_civil(
        digits(year, 4)?.try_into().ok()?,
        digits(month, 2)?.try_into().ok()?,
        digits(day, 2)?.try_into().ok()?,
    )
}

fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, zone) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [hour, minute, second] =
        [time.get(0..2)?, time.get(3..5)?, time.get(6..8)?].map(|part| digits(part, 2));
    let (hour, minute, second) = (hour?, minute?, second?);
    if time.get(2..3) != Some(":")
        || time.get(5..6) != Some(":")
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (fraction, zone) = match zone.strip_prefix('.') {
        Some(rest) => rest.split_at(
            rest.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len()),
        ),
        None => ("", zone),
    };
    let micros = format!("{:0<6.6}", fraction).parse::<i64>().ok()?;
    let seconds = hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
    Some(Timestamp(
        parse_date(date)?.midnight().0 + seconds * MICROS_PER_SECOND + micros,
    ))
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, offset) = match zone.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = offset.split_once(':')?;
    Some(sign * (digits(hours, 2)? * 3_600 + digits(minutes, 2)? * 60))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

macro_rules! text_in_json {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                String::deserialize(input)?
                    .parse()
                    .map_err(D::Error::custom)
            }
        }
    };
}

text_in_json!(Timestamp);
text_in_json!(Date);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for text in [
            "2011-09-30T22:38:44.546000Z",
            "1969-12-31T23:59:59.999999Z",
            "2000-02-29T00:00:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn knows_every_day_of_eight_centuries() {
        for days in -146_097..146_097 {
            let (year, month, day) = Date(days).civil();
            assert_eq!(Date::from_civil(year, month, day), Some(Date(days)));
        }
        assert_eq!(Date::from_days(15_248).to_string(), "2011-10-01");
    }

    #[test]
    fn takes_offsets_and_short_fractions() {
        let utc: Timestamp = "2011-10-01T06:08:58.25Z".parse().expect("it is a time");
        assert_eq!("2011-10-01T08:08:58.25+02:00".parse(), Ok(utc));
        assert_eq!("2011-10-01 01:38:58.250-04:30".parse(), Ok(utc));
        assert_eq!(utc.hour_text(), "2011-10-01T06");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2011-10-01",
            "2011-10-01T06:08:58",
            "2011-13-01T00:00:00Z",
            "2011-02-29T00:00:00Z",
            "2011-10-01T24:00:00Z",
            "äöü1-10-01T06:08:58Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert!("2011-1-1".parse::<Date>().is_err());
    }
}
