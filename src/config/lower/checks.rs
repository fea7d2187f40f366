//! `[[tests]]` and `[[invariants]]`.

use super::condition::condition;
use super::defaults::WrittenTest;
use super::instant::{When, instant};
use crate::config::table::{Item, Table};
use crate::config::{At, Code, Expectation, Invariant, InvariantClaim, Stub, Test};

pub(super) fn test(table: &mut Table<'_>) -> Option<WrittenTest> {
    let name = table.required("name").and_then(Item::string);
    let given = table.required("given").and_then(|item| {
        if !item.is_table() {
            item.mismatch("a notification, as a table");
            return None;
        }
        item.json()
    });
    let (at, local) = match instant(table) {
        Some(When::At(at)) => (Some(at), None),
        Some(When::Local(local)) => (None, Some(local)),
        None => (None, None),
    };
    let stub = table.optional("stub").map(stubs).unwrap_or_default();
    let expect = table.required("expect").and_then(expectation);
    Some((Test { name: name?, given: given?, at, stub, expect: expect? }, local))
}

/// The verdicts in the place of scripts, by the plugins that they belong to.
fn stubs(item: Item<'_>) -> Vec<(At<String>, Stub)> {
    let entries = item.table("`stub`").map(|mut table| table.entries()).unwrap_or_default();
    let read = |entry: Item<'_>| Some((At::new(entry.key.to_owned(), entry.key_span), entry.parsed(stub)?.value));
    entries.into_iter().filter_map(read).collect()
}

fn stub(text: &str) -> Result<Stub, String> {
    match text {
        "pass" => Ok(Stub::Pass),
        "drop" => Ok(Stub::Drop(None)),
        "error" => Ok(Stub::Error),
        _ => match text.strip_prefix("drop:").map(str::parse) {
            Some(Ok(reason)) => Ok(Stub::Drop(Some(reason))),
            Some(Err(error)) => Err(format!("gives no reason: {error}")),
            None => Err("is none of `pass`, `drop`, `drop:<reason>`, `error`".to_owned()),
        },
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
