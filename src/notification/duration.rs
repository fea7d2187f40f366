//! Durations as people write them: `250ms`, `30s`, `15m`, `24h`, `7d`.

use std::time::Duration;

/// The text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a duration: a whole number and one of ms, s, m, h, d, such as `30s`")]
pub struct InvalidDuration;

/// One number and one unit. A single form keeps one spelling per length, so that hashes of equal
/// configurations are equal.
///
/// # Errors
/// [`InvalidDuration`] for anything else, and for what is longer than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidDuration),
    };
    let ms = number.checked_mul(unit_ms).ok_or(InvalidDuration)?;
    // Far above any use, far below where adding it to a time could overflow.
    const CENTURY_MS: u64 = 100 * 366 * 86_400_000;
    if ms > CENTURY_MS {
        return Err(InvalidDuration);
    }
    Ok(Duration::from_millis(ms))
}

/// The shortest text that [`parse_duration`] reads back as `duration` (to the millisecond).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, size)| ms != 0 && ms.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", ms / size),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_formatted_parses_back() {
        for text in ["0ms", "1ms", "1500ms", "30s", "15m", "24m", "1d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(parse_duration("24h").unwrap()), "1d");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "1", "s", "1.5s", "-1s", "1 s", "1w", "99999999999d", "18446744073709551616s"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
