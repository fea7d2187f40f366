//! What the reference configuration says of each key, for the schema: nothing of it is written twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Every key with its meaning in the comment above it, and its default.
const TEXT: &str = include_str!("../../../config/reference.toml");
/// How the line ends that says what holds when the key is left out.
const DEFAULT: &str = "# default";
/// The table of a secret, as messages name it. What it may be stands in the head of the reference.
const SECRET: &str = "a secret's table";
/// How deep the words of a list in a comment stand.
const LISTED: &str = "   ";

/// What the reference says, by the titles that messages give to tables.
#[derive(Debug, Default)]
pub(super) struct Reference {
    /// What stands above the first header of each table.
    tables: BTreeMap<String, String>,
    /// What stands above the first line of each key, by table and key.
    keys: BTreeMap<(String, String), String>,
    /// What a list in a comment says of a word, by table and word.
    words: BTreeMap<(String, String), String>,
    defaults: BTreeMap<(String, String), Value>,
}

/// A comment, without its marks.
#[derive(Debug, Default)]
struct Comment<'a>(Vec<&'a str>);

impl Reference {
    /// What the reference says.
    pub(super) fn read() -> Self {
        let mut reference = Self::default();
        reference.tables.insert(SECRET.to_owned(), Comment::of_secrets().text());
        let (mut title, mut comment, mut is_used) = (super::TOP.to_owned(), Comment::default(), false);
        for line in TEXT.lines() {
            if let Some(text) = line.strip_prefix('#') {
                if std::mem::take(&mut is_used) {
                    comment = Comment::default();
                }
                comment.0.push(text);
            } else if line.starts_with('[') {
                title = titled(line);
                let text = std::mem::take(&mut comment).text();
                if !text.is_empty() {
                    reference.tables.entry(title.clone()).or_insert(text);
                }
            } else if let Some((key, _)) = line.split_once(" = ") {
                reference.add(&title, key, line, &comment);
                // Keys that follow each other share a comment.
                is_used = true;
            } else {
                comment = Comment::default();
            }
        }
        reference
    }

    fn add(&mut self, title: &str, key: &str, line: &str, comment: &Comment<'_>) {
        let at = |word: &str| (title.to_owned(), word.to_owned());
        if !comment.0.is_empty() {
            self.keys.entry(at(key)).or_insert_with(|| comment.text());
        }
        for (word, text) in comment.words() {
            self.words.entry(at(word)).or_insert_with(|| text.to_owned());
        }
        let value = || json_of(line.parse::<toml::Table>().ok()?.remove(key)?);
        if line.ends_with(DEFAULT)
            && let Some(value) = value()
        {
            self.defaults.entry(at(key)).or_insert(value);
        }
    }

    /// Adds to each key of `schema` what it means, and what holds when it is left out.
    pub(super) fn describe(&self, schema: &mut Value) {
        let definitions = schema["definitions"].as_object_mut().map(std::mem::take).unwrap_or_default();
        self.walk(schema, super::TOP);
        let described = definitions.into_iter().map(|(name, mut definition)| {
            // It has no title, as messages name the key that it stands at.
            self.walk(&mut definition, if name == "condition" { "`when`" } else { "" });
            (name, definition)
        });
        schema["definitions"] = Value::Object(described.collect());
    }

    /// Describes the keys of a schema and of those within it. `outer` is the title of the table around it.
    fn walk(&self, schema: &mut Value, outer: &str) {
        let title = schema["title"].as_str().unwrap_or(outer).to_owned();
        for (name, part) in schema.as_object_mut().into_iter().flatten() {
            match (name.as_str(), part) {
                ("properties", Value::Object(properties)) => {
                    for (key, property) in properties {
                        self.walk(property, &title);
                        add(property, self.description_of(&title, key), self.default_of(&title, key));
                    }
                }
                ("patternProperties", Value::Object(schemas)) => {
                    schemas.values_mut().for_each(|schema| self.walk(schema, &title));
                }
                ("anyOf", Value::Array(schemas)) => schemas.iter_mut().for_each(|schema| self.walk(schema, &title)),
                ("items" | "additionalProperties", schema @ Value::Object(_)) => self.walk(schema, &title),
                (_, _) => {}
            }
        }
    }

    /// What is said of a key: in a list, above it, above the table that it holds, or where its table is told of.
    fn description_of(&self, title: &str, key: &str) -> Option<String> {
        let at = |title: &str| (title.to_owned(), key.to_owned());
        let own = self.words.get(&at(title)).or_else(|| self.keys.get(&at(title)));
        let of_table = || {
            let within = title.trim_end_matches(']').trim_start_matches('[');
            let path = if title == super::TOP { key.to_owned() } else { format!("{within}.{key}") };
            let titles = [format!("[{path}]"), format!("[{path}.*]"), format!("[[{path}]]")];
            titles.iter().find_map(|title| self.tables.get(title)).cloned().or_else(|| self.of_sections(&path))
        };
        let of_holder = || {
            let (title, key) = holder(title)?;
            self.words.get(&at(title)).cloned().or_else(|| self.description_of(title, key))
        };
        own.cloned().or_else(of_table).or_else(of_holder).or_else(|| self.tables.get(title).cloned())
    }

    /// What is said of the sections within a table that has no header of its own.
    fn of_sections(&self, path: &str) -> Option<String> {
        let sections = self.tables.iter().filter(|(title, _)| title.starts_with(&format!("[{path}.")));
        let texts: Vec<_> = sections.map(|(_, text)| text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    fn default_of(&self, title: &str, key: &str) -> Option<&Value> {
        let own = self.defaults.get(&(title.to_owned(), key.to_owned()));
        own.or_else(|| {
            let (title, holder) = holder(title)?;
            self.defaults.get(&(title.to_owned(), holder.to_owned()))?.get(key)
        })
    }
}

/// The table and the key at which a table without a header stands.
fn holder(title: &str) -> Option<(&'static str, &'static str)> {
    match title {
        "`allow`" => Some(("[policies.*]", "allow")),
        "`history`" => Some(("[channels.*]", "history")),
        "`when`" => Some(("[[rules]]", "when")),
        "`expect`" => Some(("[[tests]]", "expect")),
        _ => None,
    }
}

/// A reference takes nothing beside it in draft-07, so what is said of the key goes around it.
fn add(property: &mut Value, description: Option<String>, default: Option<&Value>) {
    if property.get("$ref").is_some() {
        *property = json!({ "allOf": [property.take()] });
    }
    if let Some(description) = description {
        property["description"] = description.into();
    }
    if let Some(default) = default {
        property["default"] = default.clone();
    }
}

impl<'a> Comment<'a> {
    /// What the head of the reference says of secrets.
    fn of_secrets() -> Self {
        let is_meant = |line: &&str| line.starts_with("#   secrets");
        let mut lines = TEXT.lines().skip_while(|line| !is_meant(line));
        let first = lines.next().and_then(|line| line.split_once("secrets")).map(|(_, text)| text.trim_start());
        let deeper = |line: &'a str| line.strip_prefix('#').filter(|line| line.starts_with("    "));
        Self(first.into_iter().chain(lines.map_while(deeper)).collect())
    }

    /// Sentences in one line, lists as they are.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut was_listed = false;
        for line in &self.0 {
            let is_listed = line.starts_with("  ");
            if !text.is_empty() {
                text.push(if is_listed || was_listed { '\n' } else { ' ' });
            }
            text.push_str(if is_listed { "  " } else { "" });
            text.push_str(line.trim());
            was_listed = is_listed;
        }
        text
    }

    /// The words of its list, and what is said of each.
    fn words(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let listed = self.0.iter().filter_map(|line| line.strip_prefix(LISTED)?.split_once("  "));
        listed.flat_map(move |(words, text)| {
            let words = words.split(' ').filter(move |word| !word.is_empty()).filter(is_word);
            words.map(move |word| (word, text.trim_start()))
        })
    }
}

/// The title of the table that a header opens: `[types.*]` of `[types."order.updated"]`.
fn titled(header: &str) -> String {
    let path = header.trim_end_matches(']');
    match path.split_once(".\"").or_else(|| path.rsplit_once('.')) {
        Some((section, _)) => format!("{section}.*]"),
        None => header.to_owned(),
    }
}

fn json_of(value: toml::Value) -> Option<Value> {
    serde_json::to_value(value).ok()
}
