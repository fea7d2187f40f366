//! `[[tests]]` and `[[invariants]]`.

use super::condition::condition;
use super::defaults::WrittenTest;
use super::instant::moment;
use crate::config::table::{Item, Table};
use crate::config::{At, Code, Expectation, Invariant, InvariantClaim, Stub, Test};
use crate::notification::{Name, Reason};

pub(super) fn test(table: &mut Table<'_>) -> Option<WrittenTest> {
    let name = table.required("name").and_then(Item::string);
    if let Some(name) = &name {
        table.cx.declare(format!("test `{}`", name.value), name.span);
    }
    let mut given_type = None;
    let given = table.required("given").and_then(|item| {
        if !item.is_table() {
            item.mismatch("a notification, as a table");
            return None;
        }
        given_type = item.member("type").and_then(|item| Some(At::new(item.as_str()?.to_owned(), item.span)));
        item.json()
    });
    let moment = moment(table);
    let stub = table.optional("stub").map(stubs).unwrap_or_default();
    let expect = table.required("expect").and_then(expectation);
    Some((Test { name: name?, given: given?, given_type, at: None, stub, expect: expect? }, moment))
}

/// The verdicts in the place of scripts, by the plugins that they belong to.
fn stubs(item: Item<'_>) -> Vec<(At<String>, Stub)> {
    let entries = item.table("`stub`").map(|mut table| table.entries()).unwrap_or_default();
    let read = |entry: Item<'_>| Some((At::new(entry.key.to_owned(), entry.key_span), stub(entry)?));
    entries.into_iter().filter_map(read).collect()
}

fn stub(item: Item<'_>) -> Option<Stub> {
    let text = item.text()?.value;
    match text {
        "pass" => Some(Stub::Pass),
        "drop" => Some(Stub::Drop(None)),
        "error" => Some(Stub::Error),
        _ if text.starts_with("drop:") => {
            let reason = |text: &str| {
                let reason: Result<Name, _> = text["drop:".len()..].parse();
                reason.map_err(|error| format!("gives no reason: {error}"))
            };
            item.parsed(reason).map(|reason| Stub::Drop(Some(reason.value)))
        }
        _ => {
            item.unknown_word(text, &["pass", "drop", "drop:<reason>", "error"]);
            None
        }
    }
}

fn expectation(item: Item<'_>) -> Option<Expectation> {
    let mut table = item.table("`expect`")?;
    let mut names = |key| table.optional(key).and_then(|item| item.list(Item::string));
    let (rules, channels) = (names("rules"), names("channels").map(texts));
    let dropped = table.optional("dropped").and_then(Item::string);
    let refused = table.optional("refused").and_then(refusal);
    if item.first_key().is_none() {
        table.report(
            Code::ExpectsNothing,
            "`expect` asks nothing: write `rules`, `channels`, `dropped` or `refused`".to_owned(),
        );
        return None;
    }
    Some(Expectation { rules, channels, dropped, refused })
}

/// The code of a reason for which a notification is refused.
fn refusal(item: Item<'_>) -> Option<At<String>> {
    let code = item.string()?;
    let codes = Reason::refusals();
    if !codes.contains(&code.value.as_str()) {
        item.unknown_word(&code.value, &codes);
        return None;
    }
    Some(code)
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
