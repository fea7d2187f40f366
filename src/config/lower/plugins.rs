//! `[plugins.*]`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::table::{Item, Table};
use crate::config::{OnError, Plugin};

const MS: Duration = Duration::from_millis(1);
const ON_ERROR: [(&str, OnError); 3] =
    [("pass", OnError::Pass), ("drop", OnError::Drop), ("skip-rule", OnError::SkipRule)];

pub(super) fn plugin(table: &mut Table<'_>) -> Option<Plugin> {
    let script = table.required("script").and_then(Item::string);
    let mut params = Value::Object(Map::new());
    table.set("params", &mut params, |item| {
        if !item.is_table() {
            item.mismatch("a table");
            return None;
        }
        item.json()
    });
    let on_error = table.required("on_error").and_then(|item| item.choice(&ON_ERROR));
    let mut max_operations = 20_000;
    table.set("max_operations", &mut max_operations, |item| item.number(100..=10_000_000));
    let mut max_time = 5 * MS;
    table.set("max_time", &mut max_time, |item| item.duration(MS..=1_000 * MS));
    // The script is looked at whatever else is wrong.
    let on_error = on_error.map_or(OnError::Pass, |on_error| on_error.value);
    Some(Plugin { script: script?, params, on_error, max_operations, max_time })
}
