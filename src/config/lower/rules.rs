//! `[[rules]]`.

use super::condition::{condition, unclear};
use crate::config::table::{Item, Table};
use crate::config::{Action, Rule, Then};

pub(super) fn rule(table: &mut Table<'_>) -> Option<Rule> {
    let name = table.required("name").and_then(Item::declared_name);
    if let Some(name) = &name {
        table.cx.declare(format!("rule `{}`", name.value), name.span);
    }
    let priority = table.required("priority").and_then(Item::integer);
    let when = table.required("when").map_or_else(unclear, condition);
    let filter = table.optional("filter").and_then(Item::string);
    let action = table.one_of(&["to", "drop"]).and_then(action);
    let mut then = Then::Stop;
    table.set("then", &mut then, |item| item.choice(&[("stop", Then::Stop), ("continue", Then::Continue)]));
    Some(Rule { name, priority, when, filter, action, then })
}

fn action(item: Item<'_>) -> Option<Action> {
    match item.key {
        "to" => item.filled_list(Item::string).map(|channels| Action::To(channels.value)),
        _ => item.declared_name().map(Action::Drop),
    }
}
