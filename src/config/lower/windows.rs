//! `[windows.*]`.

use crate::config::table::Table;
use crate::config::{At, DailyRange, Weekday, Window};

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
const MIDNIGHT: u16 = 24 * 60;

pub(super) fn window(table: &mut Table<'_>) -> Option<Window> {
    let daily = table.required("daily").and_then(|item| item.filled_list(|item| item.parsed(daily_range)));
    let mut days = WEEKDAYS.map(|(_, day)| At::new(day, table.span)).to_vec();
    table.set("days", &mut days, |item| item.filled_list(|item| item.choice(&WEEKDAYS)));
    let timezone = match table.optional("timezone") {
        Some(item) => Some(item.string()?),
        None => None,
    };
    // The time zone is looked at whatever else is wrong.
    let daily = daily.map(|daily| daily.value).unwrap_or_default();
    Some(Window { daily, days, timezone })
}

/// Reads `22:00-07:00`. The end may be `24:00`; a range that ends where it starts is refused, as it could be
/// meant as nothing or as the whole day.
fn daily_range(text: &str) -> Result<DailyRange, &'static str> {
    let parsed = text.split_once('-').and_then(|(start, end)| Some((minutes(start)?, minutes(end)?)));
    match parsed {
        Some((start, end)) if start == end => Err("ends where it starts; the whole day is `00:00-24:00`"),
        Some((start, end)) if start < MIDNIGHT => Ok(DailyRange { start, end }),
        _ => Err("is not a range of two times, such as `22:00-07:00`"),
    }
}

/// Minutes since midnight of `HH:MM`, up to and including `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MIDNIGHT).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, start, end) in [
            ("22:00-07:00", 1_320, 420),
            ("00:00-24:00", 0, 1_440),
            ("09:30-17:05", 570, 1_025),
            ("22:00-00:00", 1_320, 0),
        ] {
            assert_eq!(daily_range(text), Ok(DailyRange { start, end }), "{text}");
        }
        for text in ["", "22-07", "22:00", "22:60-07:00", "24:00-07:00", "25:00-07:00", "7:00-08:00", "07:00-07:00"] {
            assert!(daily_range(text).is_err(), "{text:?}");
        }
    }
}
