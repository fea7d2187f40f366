//! `[[tests]]` and `[[invariants]]`.

use jiff::Timestamp;

use super::condition::condition;
use crate::config::table::{Item, Table};
use crate::config::{At, Code, Expectation, Invariant, InvariantClaim, Test};

pub(super) fn test(table: &mut Table<'_>) -> Option<Test> {
    let name = table.required("name").and_then(Item::string);
    let given = table.required("given").and_then(|item| {
        if !item.is_table() {
            item.mismatch("a notification, as a table");
            return None;
        }
        item.json()
    });
    let at = table.optional("at").and_then(instant);
    let expect = table.required("expect").and_then(expectation);
    Some(Test { name: name?, given: given?, at, expect: expect? })
}

/// A TOML datetime with an offset, or the same as a string.
fn instant(item: Item<'_>) -> Option<At<Timestamp>> {
    let Some(text) = item.as_datetime().or_else(|| item.as_str().map(str::to_owned)) else {
        item.mismatch("a datetime");
        return None;
    };
    match text.parse() {
        Ok(instant) => Some(At::new(instant, item.span)),
        Err(_) => {
            item.fault(Code::WrongForm, "is not a datetime with an offset, such as `2026-03-29T03:30:00+02:00`");
            None
        }
    }
}

fn expectation(item: Item<'_>) -> Option<Expectation> {
    let mut table = item.table("`expect`")?;
    let mut names = |key| table.optional(key).and_then(|item| item.list(Item::string)).map(texts);
    let (rules, channels) = (names("rules"), names("channels"));
    let dropped = table.optional("dropped").and_then(Item::string);
    let refused = table.optional("refused").and_then(Item::string);
    if item.first_key().is_none() {
        table.report(
            Code::ExpectsNothing,
            "`expect` asks nothing: write `rules`, `channels`, `dropped` or `refused`".to_owned(),
        );
        return None;
    }
    Some(Expectation { rules, channels, dropped, refused })
}

fn texts(list: At<Vec<At<String>>>) -> At<Vec<String>> {
    list.map(|elements| elements.into_iter().map(|element| element.value).collect())
}

pub(super) fn invariant(table: &mut Table<'_>) -> Option<Invariant> {
    let for_all = table.required("for_all").map(condition);
    let claim = table.one_of(&["must_reach", "must_never_reach", "must_not_drop"]).and_then(claim);
    Some(Invariant { for_all: for_all?, claim: claim? })
}

fn claim(item: Item<'_>) -> Option<InvariantClaim> {
    match item.key {
        "must_reach" => item.string().map(InvariantClaim::MustReach),
        "must_never_reach" => item.string().map(InvariantClaim::MustNeverReach),
        _ => match item.boolean()?.value {
            true => Some(InvariantClaim::MustNotDrop),
            false => {
                item.fault(Code::OnlyTrue, "can only be true; leave the invariant out otherwise");
                None
            }
        },
    }
}
