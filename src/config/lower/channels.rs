//! `[channels.*]`, `[types.*]` and `[limits.*]`.

use std::time::Duration;

use crate::config::table::{Item, Table};
use crate::config::{At, Channel, EventName, Limit, Rate, Retention, Scope, Shed, Type};

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Most tokens in a rate or a burst: far above any use, and far below where counting them could overflow.
const MAX_TOKENS: u32 = 1_000_000;

pub(super) fn channel(table: &mut Table<'_>) -> Option<Channel> {
    let pattern = table.required("pattern").and_then(Item::string);
    let subscribe = table.required("subscribe").and_then(Item::string);
    let mut history = Retention::default();
    table.set("history", &mut history, retention);
    let mut default = false;
    table.set("default", &mut default, Item::boolean);
    let mut event = EventName::None;
    table.set("event", &mut event, |item| item.choice(&[("none", EventName::None), ("type", EventName::Type)]));
    let mut shed = Shed::None;
    table.set("shed", &mut shed, |item| item.choice(&[("none", Shed::None), ("low", Shed::Low)]));
    Some(Channel { pattern, subscribe, history, default, event, shed })
}

fn retention(item: Item<'_>) -> Option<At<Retention>> {
    let mut table = item.table("`history`")?;
    let mut retention = Retention::default();
    table.set("size", &mut retention.size, |item| item.number(1..=1_000_000));
    table.set("ttl", &mut retention.ttl, |item| item.duration(SECOND..=YEAR));
    Some(At::new(retention, item.span))
}

pub(super) fn type_(table: &mut Table<'_>) -> Option<Type> {
    let schema = table.required("schema").and_then(Item::string);
    let publish = table.required("publish").and_then(Item::string);
    let limit = table.optional("limit").and_then(Item::string);
    let trace = table.optional("trace").and_then(Item::boolean).is_some_and(|trace| trace.value);
    Some(Type { schema, publish, limit, trace })
}

pub(super) fn limit(table: &mut Table<'_>) -> Option<Limit> {
    let key = table.required("key").and_then(Item::string);
    let rate = table.required("rate").and_then(|item| item.parsed(rate));
    let burst = table.optional("burst").map(|item| item.number(1..=MAX_TOKENS));
    let scope =
        table.optional("scope").and_then(|item| item.choice(&[("node", Scope::Node), ("cluster", Scope::Cluster)]));
    let mut max_keys = 100_000;
    table.set("max_keys", &mut max_keys, |item| item.number(1..=100_000_000));
    // What is wrong is reported. Something right stands for it, so that the rest is checked and nothing is told twice.
    let rate = rate.unwrap_or(At::new(Rate { tokens: 1, per: SECOND }, table.span));
    let burst = burst.flatten().unwrap_or(At::new(rate.tokens, rate.span));
    let scope = scope.unwrap_or(At::new(Scope::Node, table.span));
    let key = key.unwrap_or_else(|| At::new("{principal}".to_owned(), table.span));
    Some(Limit { key, rate, burst, scope, max_keys })
}

/// Reads `200/s`, `10/m`, `5/h`, `1/d`.
fn rate(text: &str) -> Result<Rate, String> {
    let seconds = |unit: &str| match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    let parsed = text.split_once('/').and_then(|(tokens, unit)| {
        let tokens = tokens.parse().ok().filter(|tokens| (1..=MAX_TOKENS).contains(tokens))?;
        Some(Rate { tokens, per: Duration::from_secs(seconds(unit)?) })
    });
    parsed.ok_or_else(|| {
        format!("is not a rate: a whole number from 1 to {MAX_TOKENS}, a slash and one of s, m, h, d, such as `200/s`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, tokens, seconds) in [("200/s", 200, 1), ("10/m", 10, 60), ("5/h", 5, 3_600), ("1/d", 1, 86_400)] {
            assert_eq!(rate(text), Ok(Rate { tokens, per: Duration::from_secs(seconds) }), "{text}");
        }
        for text in ["", "0/s", "1", "1/w", "-1/s", "1/", "/s", "1 / s", "1000001/s"] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }
}
