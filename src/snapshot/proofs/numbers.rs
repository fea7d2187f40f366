//! The numbers that a notification can have, as far as comparisons with some of them tell them apart: integers of 64
//! bits and floats.

use std::cmp::Ordering;

use serde_json::Number;

use crate::routing::compare;
use crate::schemas::Limit;

/// Up to here the validator takes multiples exactly.
const EXACT: u128 = 1 << 53;

/// Which numbers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grain {
    /// Only those without a fraction.
    pub(super) is_whole: bool,
    /// Only multiples of this.
    pub(super) step: Option<i128>,
}

/// One number, or all of those between two others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    At(Number),
    /// With one of them.
    Between(Number),
}

/// All numbers, divided by these. There is a part for each that is not empty.
pub(super) fn parts(mut points: Vec<Number>, grain: Grain) -> Vec<Part> {
    points.sort_by(|a, b| compare(a, b).unwrap_or(Ordering::Equal));
    points.dedup_by(|a, b| compare(a, b) == Some(Ordering::Equal));
    let mut lows: Vec<Option<&Number>> = vec![None];
    lows.extend(points.iter().map(Some));
    let highs = points.iter().map(Some).chain([None]);
    let between = lows.into_iter().zip(highs).filter_map(|(low, high)| grain.between(low, high)).map(Part::Between);
    let at = points.iter().filter(|point| !grain.is_whole || is_whole(point)).cloned().map(Part::At);
    at.chain(between).collect()
}

/// Whether JSON Schema calls it an integer.
pub(super) fn is_whole(number: &Number) -> bool {
    number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// Whether a bound lets it be.
pub(super) fn is_within(number: &Number, (limit, bound): &(Limit, Number)) -> bool {
    compare(number, bound).is_some_and(|order| match limit {
        Limit::Minimum => order.is_ge(),
        Limit::ExclusiveMinimum => order.is_gt(),
        Limit::Maximum => order.is_le(),
        Limit::ExclusiveMaximum => order.is_lt(),
    })
}

impl Grain {
    /// A number between two, the one nearest to read; none if there is none.
    fn between(self, low: Option<&Number>, high: Option<&Number>) -> Option<Number> {
        let fits = |number: &Number| {
            low.is_none_or(|low| compare(low, number) == Some(Ordering::Less))
                && high.is_none_or(|high| compare(number, high) == Some(Ordering::Less))
        };
        if let Some(step) = self.step {
            match multiple(step, low, high) {
                Multiple::Found(number) => return Some(number),
                Multiple::None => return None,
                Multiple::Unclear => {}
            }
        }
        let candidates = match (low, high) {
            (Some(low), Some(high)) => [whole_above(low), middle(low, high), float_above(low)],
            (Some(low), None) => [whole_above(low), float_above(low), None],
            (None, Some(high)) => [whole_below(high), float_below(high), None],
            (None, None) => [Some(0.into()), None, None],
        };
        candidates.into_iter().flatten().find(|number| fits(number) && (!self.is_whole || is_whole(number)))
    }
}

enum Multiple {
    Found(Number),
    None,
    Unclear,
}

fn multiple(step: i128, low: Option<&Number>, high: Option<&Number>) -> Multiple {
    let exact = |number: Option<&Number>| match number.map(floor) {
        None => Some(None),
        Some(Some(floor)) if floor.unsigned_abs() < EXACT => Some(Some(floor)),
        Some(_) => None,
    };
    let (Some(low_floor), Some(high_floor)) = (exact(low), exact(high)) else { return Multiple::Unclear };
    let next = match (low_floor, high_floor, high) {
        (Some(low), ..) => (low.div_euclid(step) + 1) * step,
        // The greatest below, also where `high` is itself one.
        (None, Some(below), Some(high)) if is_whole(high) => (below - 1).div_euclid(step) * step,
        (None, Some(below), _) => below.div_euclid(step) * step,
        (None, None, _) => 0,
    };
    let Some(number) = number(next) else { return Multiple::Unclear };
    match high.is_none_or(|high| compare(&number, high) == Some(Ordering::Less)) {
        true if next.unsigned_abs() < EXACT => Multiple::Found(number),
        true => Multiple::Unclear,
        false => Multiple::None,
    }
}

/// An integer of 64 bits.
fn number(whole: i128) -> Option<Number> {
    i64::try_from(whole).map(Number::from).or_else(|_| u64::try_from(whole).map(Number::from)).ok()
}

/// The greatest integer that is not above it.
fn floor(number: &Number) -> Option<i128> {
    number.as_i128().or_else(|| number.as_f64().map(|float| float.floor() as i128))
}

fn whole_above(low: &Number) -> Option<Number> {
    number(floor(low)?.checked_add(1)?)
}

fn whole_below(high: &Number) -> Option<Number> {
    let floor = floor(high)?;
    number(if is_whole(high) { floor.checked_sub(1)? } else { floor })
}

fn middle(low: &Number, high: &Number) -> Option<Number> {
    Number::from_f64(low.as_f64()? / 2.0 + high.as_f64()? / 2.0)
}

/// The least float above it.
fn float_above(low: &Number) -> Option<Number> {
    let float = low.as_f64()?;
    let is_above = |number: &Number| compare(low, number) == Some(Ordering::Less);
    // An integer may have been rounded up.
    Number::from_f64(float).filter(is_above).or_else(|| Number::from_f64(float.next_up()))
}

/// The greatest float below it.
fn float_below(high: &Number) -> Option<Number> {
    let float = high.as_f64()?;
    let is_below = |number: &Number| compare(number, high) == Some(Ordering::Less);
    Number::from_f64(float).filter(is_below).or_else(|| Number::from_f64(float.next_down()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ANY: Grain = Grain { is_whole: false, step: None };
    const WHOLE: Grain = Grain { is_whole: true, step: None };

    fn between(grain: Grain, low: &str, high: &str) -> Option<String> {
        let number = |text: &str| serde_json::from_str::<Number>(text).ok();
        grain.between(number(low).as_ref(), number(high).as_ref()).map(|number| number.to_string())
    }

    #[test]
    fn between_two_numbers_is_one_or_there_is_none() {
        for (grain, low, high, found) in [
            (WHOLE, "1", "2", None),
            (ANY, "1", "2", Some("1.5")),
            (WHOLE, "1.5", "2.5", Some("2")),
            (ANY, "-0.0", "0", None),
            (WHOLE, "-1", "0.5", Some("0")),
            (ANY, "9007199254740992", "9007199254740993", None),
            (WHOLE, "9007199254740992.0", "9007199254740994.0", Some("9007199254740993")),
            (ANY, "9007199254740993", "9007199254740994", None),
            (WHOLE, "18446744073709551615", "", Some("1.8446744073709552e+19")),
            (WHOLE, "", "-9223372036854775808", Some("-9.223372036854778e+18")),
            (WHOLE, "1e300", "2e300", Some("1.5e+300")),
            (WHOLE, "-2e300", "-1e300", Some("-1.5e+300")),
            (ANY, "1.7976931348623157e308", "", None),
            (ANY, "", "-1.7976931348623157e308", None),
            (Grain { is_whole: true, step: Some(5) }, "0", "5", None),
            (Grain { is_whole: true, step: Some(5) }, "0", "5.5", Some("5")),
            (Grain { is_whole: true, step: Some(5) }, "", "0", Some("-5")),
            (Grain { is_whole: true, step: Some(5) }, "-7", "-5", None),
            (Grain { is_whole: true, step: Some(5) }, "9007199254740993", "", Some("9007199254740994")),
        ] {
            assert_eq!(between(grain, low, high).as_deref(), found, "{low} {high}");
        }
    }

    /// The rules, the schemas and what is proven of them have one order of numbers.
    #[test]
    fn numbers_are_in_the_order_of_the_validator() {
        let numbers = [
            "-1e300",
            "-9223372036854775808",
            "-9007199254740993",
            "-9007199254740992.0",
            "-1",
            "-0.0",
            "0",
            "1.0",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740992.0",
            "9007199254740993",
            "9007199254740994.0",
            "9223372036854775807",
            "9223372036854775808.0",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e300",
        ]
        .map(|text| serde_json::from_str::<Number>(text).unwrap());
        for bound in &numbers {
            let (minimum, only) = (json!({"minimum": bound}), json!({"const": bound}));
            let [minimum, only] = [minimum, only].map(|schema| jsonschema::validator_for(&schema).unwrap());
            for number in &numbers {
                let (order, value) = (compare(number, bound).unwrap(), Value::Number(number.clone()));
                assert_eq!(minimum.is_valid(&value), order.is_ge(), "{number} {bound}");
                assert_eq!(only.is_valid(&value), order.is_eq(), "{number} {bound}");
            }
        }
    }

    #[test]
    fn every_number_is_in_one_part() {
        let points = ["3", "1", "1.0", "2.5"].map(|text| serde_json::from_str::<Number>(text).unwrap());
        let shown: Vec<_> = parts(points.into(), WHOLE).into_iter().map(|part| format!("{part:?}")).collect();
        let whole =
            ["At(Number(1))", "At(Number(3))", "Between(Number(0))", "Between(Number(2))", "Between(Number(4))"];
        assert_eq!(shown, whole);
        assert_eq!(parts(Vec::new(), ANY), [Part::Between(0.into())]);
    }
}
