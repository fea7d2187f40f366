//! `[defaults]`: the time zone of windows and tests that name none.

use jiff::tz::TimeZone;

use super::instant::{in_default_zone, named_zone};
use crate::config::context::Context;
use crate::config::table::{Table, titled};
use crate::config::{At, Code, Diagnostic, Moment, Named, Test, Window};

/// The default time zone.
#[derive(Default)]
pub(super) enum DefaultZone {
    #[default]
    None,
    /// There may be one, which could not be read.
    Unclear,
    Named(At<String>, TimeZone),
}

/// A test, and when it happens.
pub(super) type WrittenTest = (Test, Option<At<Moment>>);

pub(super) fn defaults(table: &mut Table<'_>) -> DefaultZone {
    let Some(item) = table.optional("timezone") else { return DefaultZone::None };
    named_zone(item).map_or(DefaultZone::Unclear, |(name, zone)| DefaultZone::Named(name, zone))
}

impl DefaultZone {
    /// Notes that it may be where it could not be read.
    pub(super) fn add_gap(&mut self) {
        if matches!(self, Self::None) {
            *self = Self::Unclear;
        }
    }

    /// Gives it to the windows that name none.
    pub(super) fn complete(&self, windows: &mut Named<Window>, cx: &Context) {
        for (name, window) in windows.iter_mut().filter(|(_, window)| window.timezone.is_none()) {
            match self {
                Self::Named(zone, _) => window.value.timezone = Some(zone.clone()),
                Self::Unclear => {}
                Self::None => {
                    let message = format!("`timezone` is missing in {}", titled("[windows.*]", name.as_str()));
                    let finding = Diagnostic::error(Code::MissingKey, window.span, message);
                    cx.report(finding.help("write it here, or once for all windows and tests in [defaults]"));
                }
            }
        }
    }

    /// A test that knows when it happens.
    pub(super) fn date(&self, (test, moment): WrittenTest, cx: &Context) -> Test {
        let at = moment.and_then(|At { value, span }| match (value, self) {
            (Moment::At(instant), _) => Some(At::new(instant, span)),
            (Moment::Local(local), Self::Named(..) | Self::None) => {
                in_default_zone(cx, At::new(local, span), self.zone())
            }
            (Moment::Local(_), Self::Unclear) => None,
        });
        Test { at, ..test }
    }

    /// The time zone, where it could be read.
    pub(super) fn zone(&self) -> Option<&TimeZone> {
        match self {
            Self::Named(_, zone) => Some(zone),
            Self::None | Self::Unclear => None,
        }
    }
}
