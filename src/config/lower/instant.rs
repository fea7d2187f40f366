//! When a test happens: an absolute time, or a local one and the time zone whose clocks show it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::context::Context;
use crate::config::moment::{NoInstant, in_zone};
use crate::config::table::{Item, Table};
use crate::config::{At, Code, Diagnostic, Moment, Span};

/// `at` and `timezone` of a test: a TOML datetime, or the same as a string. It is local where only the default time zone
/// can say when that is.
pub(super) fn moment(table: &mut Table<'_>) -> Option<At<Moment>> {
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
    let moment = At::new(reported(at.cx, at.span, text.parse())?, at.span);
    match (moment.value, written, zone) {
        (Moment::At(_), Some(written), _) => {
            written.fault(Code::Conflict, "has no effect, as `at` has an offset; leave out one of them");
            Some(moment)
        }
        (Moment::Local(local), _, Some((_, zone))) => {
            let instant = reported(at.cx, at.span, in_zone(local, &zone))?;
            Some(At::new(Moment::At(instant), at.span))
        }
        // What is wrong with the time zone is told.
        (Moment::Local(_), Some(_), None) => None,
        (_, None, _) => Some(moment),
    }
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

/// The instant at which the clocks of the default time zone, if there is one, show `local`.
pub(super) fn in_default_zone(cx: &Context, local: At<DateTime>, zone: Option<&TimeZone>) -> Option<At<Timestamp>> {
    let read = zone.map_or_else(|| Err(no_zone(local.value)), |zone| in_zone(local.value, zone));
    reported(cx, local.span, read).map(|instant| At::new(instant, local.span))
}

fn reported<T>(cx: &Context, span: Span, read: Result<T, NoInstant>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(NoInstant { fault, help }) => {
            cx.report(Diagnostic::error(Code::WrongForm, span, format!("`at` {fault}")).help(help));
            None
        }
    }
}

fn no_zone(local: DateTime) -> NoInstant {
    let fault = "is a local time, and no `timezone` says where, nor does [defaults]".to_owned();
    NoInstant { fault, help: format!("add `timezone = \"Europe/Berlin\"`, or an offset: `{local}+02:00`") }
}
