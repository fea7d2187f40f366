//! The schema against what is read: every key, every file that is good, and every fault of shape.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::json_schema;
use crate::config::fixtures::toml_files;
use crate::config::load::load_recording;
use crate::config::{Secrets, load};

/// Codes of what one value or one table shows by itself.
const OF_SHAPE: [&str; 17] = [
    "F101", "F102", "F103", "F104", "F105", "F106", "F107", "F108", "F109", "F110", "F111", "F112", "F115", "F302",
    "F303", "F304", "F802",
];

/// Faults with those codes that the schema does not see, each with the reason.
const NOT_SEEN: [&str; 8] = [
    // Another file may have it.
    "f103_unmatched",
    "f108_instant",
    // A pattern does not compare.
    "f106_ttl",
    "f108_daily_of_nothing",
    // One key is wrong only beside another.
    "f115_on_all_addresses",
    // A text, of which it sees no parts.
    "f302_in_an_invariant",
    // Not a number in JSON, so the file cannot be shown to the schema.
    "f106_infinity",
    "f106_priority",
];

fn validator(schema: &Value) -> Validator {
    jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(schema).unwrap()
}

/// A TOML file as JSON, where that can hold it; datetimes as texts.
fn read(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    let table: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    json_of(toml::Value::Table(table))
}

fn json_of(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(integer) => integer.into(),
        toml::Value::Float(float) => Value::Number(serde_json::Number::from_f64(float)?),
        toml::Value::Boolean(boolean) => boolean.into(),
        toml::Value::Datetime(datetime) => datetime.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json_of).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let members = table.into_iter().map(|(key, value)| Some((key, json_of(value)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
    })
}

fn faults(validator: &Validator, path: &Path) -> Vec<String> {
    let value = read(path).unwrap_or_else(|| panic!("{}", path.display()));
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every configuration that is shipped, and the files that they include.
fn shipped() -> Vec<PathBuf> {
    let mut files =
        [toml_files("config"), toml_files("tests/config/good"), toml_files("tests/config/good/conf.d")].concat();
    for entry in fs::read_dir("examples").unwrap() {
        let folder = entry.unwrap().path();
        if folder.is_dir() {
            files.extend(toml_files(folder.to_str().unwrap()).into_iter().filter(|path| !path.ends_with("Cargo.toml")));
        }
    }
    files
}

#[test]
fn every_file_that_is_good_is_accepted() {
    let files = shipped();
    assert!(files.len() >= 7, "{files:?}");
    let validator = validator(&json_schema(None));
    for path in files {
        assert_eq!(faults(&validator, &path), [""; 0], "{}", path.display());
    }
}

#[test]
fn every_fault_of_shape_is_refused_and_no_other() {
    let validator = validator(&json_schema(None));
    let mut wrong = Vec::new();
    let mut refused = 0;
    for path in toml_files("tests/config/faults") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let code = name[..4].to_uppercase();
        let expected = OF_SHAPE.contains(&code.as_str()) && !NOT_SEEN.contains(&name.as_str());
        let Some(value) = read(&path) else {
            assert!(!expected, "{name} is no JSON");
            continue;
        };
        let is_refused = !validator.is_valid(&value);
        refused += usize::from(is_refused);
        if is_refused != expected {
            wrong.push(format!("{name} is refused: {is_refused}: {:?}", faults(&validator, &path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 40, "{refused}");
}

#[test]
fn declared_names_are_those_that_are_taken() {
    let loaded = load(Path::new("tests/config/good/shop.toml"), Secrets::Create);
    let validator = validator(&json_schema(Some(&loaded.draft)));
    let path = Path::new("tests/config/good/shop.toml");
    assert_eq!(faults(&validator, path), [""; 0]);
    let good = read(path).unwrap();
    for (place, unknown) in [
        ("/channels/user/subscribe", json!("own-usr")),
        ("/types/order.updated/limit", json!("producr")),
        ("/types/order.updated/publish", json!("producr")),
        ("/rules/0/when/type", json!("order.updatd")),
        ("/rules/2/filter", json!("muted-thread")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = unknown;
        assert!(!validator.is_valid(&bad), "{place}");
    }
    let test = |plugin: &str| {
        let mut more = good.clone();
        let stub = json!({ plugin: "pass" });
        more["tests"] = json!([{ "name": "a", "given": { "type": "nope" }, "stub": stub, "expect": { "rules": [] } }]);
        validator.is_valid(&more)
    };
    assert!(test("muted-threads") && !test("muted-thread"));
}

/// The tables of the schema with their keys, by the titles that messages have too.
fn keys(schema: &Value, found: &mut BTreeSet<(String, String)>) {
    match schema {
        Value::Object(members) => {
            if let (Some(Value::String(title)), Some(Value::Object(properties))) =
                (members.get("title"), members.get("properties"))
            {
                found.extend(properties.keys().map(|key| (title.clone(), key.clone())));
            }
            members.values().for_each(|member| keys(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| keys(element, found)),
        _ => {}
    }
}

#[test]
fn the_schema_has_every_key_that_is_read_and_no_other() {
    let mut in_schema = BTreeSet::new();
    keys(&json_schema(None), &mut in_schema);
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let (_, asked) = load_recording(&crate::config::tests::reference_in(folder.path(), &text), Secrets::Create);
    let read: BTreeSet<_> = asked.keys().map(|(title, key)| ((*title).to_owned(), (*key).to_owned())).collect();
    assert_eq!(in_schema, read);
}

/// Calls `see` with every key of the schema and what it takes.
fn each_property(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}/{name}");
                if let ("properties", Value::Object(properties)) = (name.as_str(), member) {
                    properties.iter().for_each(|(key, property)| see(&format!("{path}/{key}"), property));
                }
                each_property(member, &path, see);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_property(element, path, see)),
        _ => {}
    }
}

#[test]
fn every_key_is_described_and_has_the_default_of_the_reference() {
    let schema = json_schema(None);
    let (mut undescribed, mut defaults) = (Vec::new(), Vec::new());
    each_property(&schema, "", &mut |path, property| {
        if property["description"].as_str().is_none_or(str::is_empty) {
            undescribed.push(path.to_owned());
        }
        if let Some(default) = property.get("default") {
            // An editor that fills it in writes what is taken.
            let alone = json!({ "definitions": schema["definitions"], "allOf": [property] });
            assert!(validator(&alone).is_valid(default), "{path}: {default}");
            defaults.push(path.to_owned());
        }
    });
    assert_eq!(undescribed, [""; 0]);
    // That these lines are what the code does has a test of its own. `history` has two keys with defaults of their own.
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let lines = text.lines().filter(|line| line.ends_with("# default")).count();
    assert_eq!(defaults.len(), lines + 2, "{defaults:?}");
    let server = &schema["definitions"]["server"]["properties"];
    assert_eq!(server["drain"]["default"], "30s");
    assert_eq!(server["max_body"]["description"], "Largest body of a request, 1 KiB to 16 MiB.");
    let jwks = &schema["definitions"]["issuer"]["properties"]["jwks_file"];
    assert_eq!(jwks["description"], "a JSON Web Key Set");
}
