//! When a test happens: an absolute time, or a local one and the time zone whose clocks show it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::config::context::Context;
use crate::config::table::{Item, Table};
use crate::config::{At, Code, Diagnostic, Span};

/// Why a text is no time at which something can happen.
#[derive(Debug, PartialEq, Eq)]
struct NoInstant {
    /// Follows the name of the key.
    fault: String,
    help: String,
}

/// When a test happens, as far as its own table says.
pub(super) enum When {
    At(At<Timestamp>),
    /// By the clocks of the default time zone.
    Local(At<String>),
}

/// `at` and `timezone` of a test: a TOML datetime, or the same as a string.
pub(super) fn instant(table: &mut Table<'_>) -> Option<When> {
    let (at, written) = (table.optional("at"), table.optional("timezone"));
    let zone = written.and_then(named_zone);
    if let (Some(written), None) = (written, at) {
        written.fault(Code::Conflict, "is there without an `at` that it could be for");
    }
    let at = at?;
    let Some(text) = at.as_datetime().or_else(|| at.as_str().map(str::to_owned)) else {
        at.mismatch("a datetime");
        return None;
    };
    if let Ok(instant) = text.parse() {
        if let Some(written) = written {
            written.fault(Code::Conflict, "has no effect, as `at` has an offset; leave out one of them");
        }
        return Some(When::At(At::new(instant, at.span)));
    }
    let read = match (local(&text), written, zone) {
        (None, ..) => Err(no_time()),
        // What is wrong with the time zone is told.
        (Some(_), Some(_), None) => return None,
        (Some(_), None, _) => return Some(When::Local(At::new(text, at.span))),
        (Some(local), Some(_), Some((_, zone))) => in_zone(local, &zone),
    };
    reported(at.cx, at.span, read).map(When::At)
}

/// A time zone by its name, and the name.
pub(super) fn named_zone(item: Item<'_>) -> Option<(At<String>, TimeZone)> {
    let name = item.string()?;
    match TimeZone::get(&name) {
        Ok(zone) => Some((name, zone)),
        Err(_) => {
            item.cx.report(Diagnostic::unknown_time_zone(&name));
            None
        }
    }
}

/// The moment at which the clocks of `zone` show what a test says, if there is such a default.
pub(super) fn in_default_zone(cx: &Context, text: &At<String>, zone: Option<&TimeZone>) -> Option<At<Timestamp>> {
    let read = match (local(text), zone) {
        (Some(local), Some(zone)) => in_zone(local, zone),
        (Some(_), None) => Err(no_zone(text)),
        (None, _) => Err(no_time()),
    };
    reported(cx, text.span, read)
}

fn reported(cx: &Context, span: Span, read: Result<Timestamp, NoInstant>) -> Option<At<Timestamp>> {
    match read {
        Ok(instant) => Some(At::new(instant, span)),
        Err(NoInstant { fault, help }) => {
            cx.report(Diagnostic::error(Code::WrongForm, span, format!("`at` {fault}")).help(help));
            None
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

fn no_zone(text: &str) -> NoInstant {
    let fault = "is a local time, and no `timezone` says where, nor does [defaults]".to_owned();
    NoInstant { fault, help: format!("add `timezone = \"Europe/Berlin\"`, or an offset: `{text}+02:00`") }
}

/// The one moment at which the clocks of `zone` show `local`. A guess would hide what a test near a change of the
/// clocks is most often about, so a time that is skipped or doubled is none.
fn in_zone(local: DateTime, zone: &TimeZone) -> Result<Timestamp, NoInstant> {
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
    fn what_is_no_local_time_is_none() {
        for text in
            ["2026-03-29", "07:30:00", "tomorrow", "", "2026-03-29T03:30:00[Europe/Berlin]", "2026-13-29T03:30:00"]
        {
            assert_eq!(local(text), None, "{text}");
        }
    }
}
