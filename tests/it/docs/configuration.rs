//! Pieces of configuration that the documentation shows: each is TOML, and its keys and values are such as are taken.

use fanfare::config::json_schema;
use serde_json::{Value, json};

use super::page::Page;
use super::pattern;

/// The schema of a configuration, but that nothing in it is required: a piece shows what it is about.
fn schema_of_pieces() -> Value {
    let mut schema = json_schema(None);
    loosen(&mut schema);
    schema
}

fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // A key of that name has a schema, and what is meant has a list.
            members.retain(|name, value| !(["required", "oneOf"].contains(&name.as_str()) && value.is_array()));
            members.retain(|name, _| name != "dependencies");
            members.values_mut().for_each(loosen);
        }
        Value::Array(elements) => elements.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// The schemas of tables whose keys may be shown without the table's header.
fn tables(schema: &Value, found: &mut Vec<Value>) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("title") {
                found.push(schema.clone());
            }
            members.values().for_each(|member| tables(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| tables(element, found)),
        _ => {}
    }
}

fn faults(schema: &Value, definitions: &Value, piece: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["definitions"] = definitions.clone();
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).unwrap();
    validator.iter_errors(piece).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// TOML as JSON, with datetimes as texts.
fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(datetime) => datetime.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json_of).collect::<Vec<_>>().into(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json_of(value))).collect())
        }
        value => json!(value),
    }
}

#[test]
fn every_piece_of_configuration_is_such_as_is_taken() {
    let schema = schema_of_pieces();
    let definitions = &schema["definitions"];
    let mut parts = Vec::new();
    tables(&schema, &mut parts);
    let mut read = 0;
    for page in Page::all() {
        // What is shown to be wrong is in the fixtures, which are tested to be.
        let shown = page.blocks.iter().filter(|block| block.language == "toml" && block.before != "**Wrong**");
        for block in shown {
            let place = format!("{}:{}\n{}", page.path.display(), block.line, block.text);
            let table = block.text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{place}{error}"));
            let piece = json_of(toml::Value::Table(table));
            let whole = faults(&schema, definitions, &piece);
            let is_part = || parts.iter().any(|part| faults(part, definitions, &piece).is_empty());
            assert!(whole.is_empty() || is_part(), "{place}{}", whole.join("\n"));
            read += 1;
        }
    }
    assert!(read > 50, "{read}");
}

#[test]
fn every_key_that_is_named_with_its_section_is_there() {
    let schema = json_schema(None);
    let sections = &schema["properties"];
    let path = pattern(r"^(server|broker|paths|defaults|channels|types|limits|windows|plugins)\.(?:\*\.)?([a-z_]+)$");
    let mut named = 0;
    for page in Page::all() {
        for (line, code) in page.inline() {
            let Some(found) = path.captures(code) else { continue };
            // A section, or what each table in it is.
            let section = &sections[&found[1]];
            let reference = section["allOf"][0]["$ref"].as_str().or(section["additionalProperties"]["$ref"].as_str());
            let table = match reference {
                Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
                None => section,
            };
            assert!(table["properties"][&found[2]].is_object(), "{}:{line}: `{code}`", page.path.display());
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}
