//! A time as people write it: absolute, or what clocks on the wall show.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// A time with an offset, or a local one, which some time zone has to make an instant of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Absolute.
    At(Timestamp),
    /// What the clocks of a time zone show.
    Local(DateTime),
}

/// Why a text is no time at which something can happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}; {help}")]
pub struct NoInstant {
    /// Follows the name of what should be one.
    pub fault: String,
    /// What would be one.
    pub help: String,
}

impl Moment {
    /// The instant, a local time being by the clocks of `zone`, which is that of `[defaults]`.
    ///
    /// # Errors
    /// [`NoInstant`] for a local time that these clocks skip or show twice, or without a time zone.
    pub fn by_default(self, zone: Option<&TimeZone>) -> Result<Timestamp, NoInstant> {
        match (self, zone) {
            (Self::At(instant), _) => Ok(instant),
            (Self::Local(local), Some(zone)) => in_zone(local, zone),
            (Self::Local(local), None) => Err(NoInstant {
                fault: "is a local time, and [defaults] has no `timezone` whose clocks show it".to_owned(),
                help: format!("add an offset: `{local}+02:00`"),
            }),
        }
    }
}

impl FromStr for Moment {
    type Err = NoInstant;

    fn from_str(text: &str) -> Result<Self, NoInstant> {
        match text.parse() {
            Ok(instant) => Ok(Self::At(instant)),
            Err(_) => local(text).map(Self::Local).ok_or_else(no_time),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(instant) => instant.fmt(f),
            Self::Local(local) => local.fmt(f),
        }
    }
}

/// What a clock on the wall shows. A date alone is none, nor is what names its time zone in brackets.
fn local(text: &str) -> Option<DateTime> {
    let has_time = text.contains(['T', 't', ' ']) && !text.contains(['[', 'Z', 'z']);
    text.parse().ok().filter(|_| has_time)
}

fn no_time() -> NoInstant {
    let help = "such as `2026-03-29T03:30:00+02:00`, or `2026-03-29T03:30:00` with a `timezone`";
    NoInstant { fault: "is not a datetime".to_owned(), help: help.to_owned() }
}

/// The one moment at which the clocks of `zone` show `local`. A guess would hide what a test near a change of the
/// clocks is most often about, so a time that is skipped or doubled is none.
pub(super) fn in_zone(local: DateTime, zone: &TimeZone) -> Result<Timestamp, NoInstant> {
    let name = zone.iana_name().unwrap_or("this time zone");
    // Only years beyond those of a calendar have no timestamp.
    let at = |offset: Offset| offset.to_timestamp(local).map_err(|_| no_time());
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        AmbiguousOffset::Gap { before, after } => {
            // Read by the old offset it lies behind the change, and by the new one before it.
            let (early, late) = (at(after)?.display_with_offset(before), at(before)?.display_with_offset(after));
            Err(NoInstant {
                fault: format!("is {local}, which the clocks of {name} skip"),
                help: format!("write `{early}`, before the change, or `{late}`, after it"),
            })
        }
        AmbiguousOffset::Fold { before, after } => {
            let (first, second) = (at(before)?.display_with_offset(before), at(after)?.display_with_offset(after));
            Err(NoInstant {
                fault: format!("is {local}, which the clocks of {name} show twice"),
                help: format!("write `{first}`, the first time, or `{second}`, the second"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: &str) -> Result<String, NoInstant> {
        in_zone(local(text).unwrap(), &TimeZone::get(zone).unwrap()).map(|instant| instant.to_string())
    }

    #[test]
    fn the_clocks_of_the_zone_decide() {
        for (text, zone, instant) in [
            ("2026-01-10T12:00:00", "Europe/Berlin", "2026-01-10T11:00:00Z"),
            ("2026-07-10T12:00:00", "Europe/Berlin", "2026-07-10T10:00:00Z"),
            ("2026-07-10 12:00:00.5", "UTC", "2026-07-10T12:00:00.5Z"),
            ("2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T00:59:59Z"),
            ("2026-03-29T03:00:00", "Europe/Berlin", "2026-03-29T01:00:00Z"),
            ("2026-10-25T01:59:59", "Europe/Berlin", "2026-10-24T23:59:59Z"),
            ("2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00Z"),
        ] {
            assert_eq!(read(text, zone).as_deref(), Ok(instant), "{text} {zone}");
        }
    }

    #[test]
    fn a_skipped_time_names_what_is_before_and_after_it() {
        for (text, zone, help) in [
            (
                "2026-03-29T02:00:00",
                "Europe/Berlin",
                "write `2026-03-29T01:00:00+01:00`, before the change, or `2026-03-29T03:00:00+02:00`, after it",
            ),
            (
                "2026-03-29T02:59:59",
                "Europe/Berlin",
                "write `2026-03-29T01:59:59+01:00`, before the change, or `2026-03-29T03:59:59+02:00`, after it",
            ),
            // By half an hour.
            (
                "2026-10-04T02:15:00",
                "Australia/Lord_Howe",
                "write `2026-10-04T01:45:00+10:30`, before the change, or `2026-10-04T02:45:00+11:00`, after it",
            ),
        ] {
            let no = read(text, zone).unwrap_err();
            assert_eq!(no.fault, format!("is {text}, which the clocks of {zone} skip"));
            assert_eq!(no.help, help);
        }
    }

    #[test]
    fn a_doubled_time_names_both() {
        let no = read("2026-10-25T02:30:00", "Europe/Berlin").unwrap_err();
        assert_eq!(no.fault, "is 2026-10-25T02:30:00, which the clocks of Europe/Berlin show twice");
        let help = "write `2026-10-25T02:30:00+02:00`, the first time, or `2026-10-25T02:30:00+01:00`, the second";
        assert_eq!(no.help, help);
        assert!(read("2026-10-25T02:30:00", "UTC").is_ok());
    }

    #[test]
    fn a_local_time_needs_a_time_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str, zone| text.parse::<Moment>()?.by_default(zone).map(|instant| instant.to_string());
        assert_eq!(at("2026-12-01T03:00", Some(&berlin)).as_deref(), Ok("2026-12-01T02:00:00Z"));
        assert_eq!(at("2026-12-01T03:00:00+05:00", Some(&berlin)).as_deref(), Ok("2026-11-30T22:00:00Z"));
        let none = at("2026-12-01T03:00", None).unwrap_err();
        let told = "is a local time, and [defaults] has no `timezone` whose clocks show it; \
                    add an offset: `2026-12-01T03:00:00+02:00`";
        assert_eq!(none.to_string(), told);
    }

    #[test]
    fn what_is_no_local_time_is_none() {
        for text in
            ["2026-03-29", "07:30:00", "tomorrow", "", "2026-03-29T03:30:00[Europe/Berlin]", "2026-13-29T03:30:00"]
        {
            assert_eq!(local(text), None, "{text}");
        }
    }
}
