//! Recurring local times, such as nights in Berlin.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::config::DailyRange;

/// A compiled window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its name in the configuration.
    pub name: String,
    ranges: Box<[DailyRange]>,
    days: Box<[Weekday]>,
    timezone: TimeZone,
}

impl Window {
    /// A window open during `ranges` that start on one of `days`, by the wall clock of `timezone`.
    #[must_use]
    pub fn new(name: &str, ranges: Box<[DailyRange]>, days: Box<[Weekday]>, timezone: TimeZone) -> Self {
        Self { name: name.to_owned(), ranges, days, timezone }
    }

    /// Whether `now` lies inside. The wall clock decides: when an hour repeats or is skipped at a change of
    /// daylight saving, the window follows what a clock on the wall shows.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        let local = now.to_zoned_datetime(self.timezone.clone());
        let minute = (i32::from(local.hour()) * 60 + i32::from(local.minute())) as u16;
        let today = local.weekday();
        let starts_on = |day: Weekday| self.days.contains(&day);
        self.ranges.iter().any(|range| {
            if range.start < range.end {
                starts_on(today) && (range.start..range.end).contains(&minute)
            } else {
                // Wraps midnight: the early hours belong to the range that started the day before.
                (minute >= range.start && starts_on(today)) || (minute < range.end && starts_on(today.previous()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    fn window(start: u16, end: u16, days: &[Weekday]) -> Window {
        let range = DailyRange { start: start * 60, end: end * 60 };
        Window::new("w", Box::new([range]), days.into(), TimeZone::get("Europe/Berlin").unwrap())
    }

    fn open(window: &Window, at: &str) -> bool {
        window.contains(at.parse().unwrap())
    }

    #[test]
    fn a_night_wraps_midnight() {
        let night = window(22, 7, &ALL);
        assert!(open(&night, "2026-01-10T21:00:00Z"), "22:00 in Berlin");
        assert!(!open(&night, "2026-01-10T20:59:59Z"));
        assert!(open(&night, "2026-01-11T05:59:59Z"));
        assert!(!open(&night, "2026-01-11T06:00:00Z"), "07:00 in Berlin, not included");
    }

    #[test]
    fn early_hours_belong_to_the_day_before() {
        let friday_night = window(22, 7, &[Weekday::Friday]);
        assert!(open(&friday_night, "2026-01-10T02:00:00Z"), "Saturday 03:00");
        assert!(!open(&friday_night, "2026-01-09T02:00:00Z"), "Friday 03:00");
    }

    #[test]
    fn the_wall_clock_decides_when_daylight_saving_changes() {
        let early = window(2, 3, &ALL);
        assert!(!open(&early, "2026-03-29T01:30:00Z"), "03:30 summer time: the hour was skipped");
        assert!(open(&early, "2026-10-25T00:30:00Z") && open(&early, "2026-10-25T01:30:00Z"), "the hour repeats");
    }
}
