//! Reads TOML tables key by key, and reports wrong types and whatever nobody asked for.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::context::Context;
use super::diagnostic::quoted;
use super::{At, Code, Diagnostic, Span};
use crate::notification::{InvalidName, Name, format_duration, parse_duration};

/// A table being read. When it is dropped, its keys that were not asked for are reported as unknown; read every
/// key before giving up on one.
pub(super) struct Table<'a> {
    pub(super) cx: &'a Context,
    /// Where missing keys are reported: its header, its name in the header, or the whole inline table.
    pub(super) span: Span,
    /// How messages name it, with `*` for `name`: `[channels.*]`.
    title: &'static str,
    name: Option<&'a str>,
    entries: &'a DeTable<'a>,
    asked: Vec<&'static str>,
    /// The operator chooses the keys, so none is unknown.
    is_open: bool,
    is_secretive: bool,
    has_refused: bool,
}

/// One value being read, and the key that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) cx: &'a Context,
    pub(super) key: &'a str,
    pub(super) span: Span,
    pub(super) key_span: Span,
    value: &'a DeValue<'a>,
    is_element: bool,
}

impl<'a> Table<'a> {
    /// The root table of a file.
    pub(super) fn root(cx: &'a Context, file: u32, root: &'a Spanned<DeTable<'a>>) -> Self {
        let start = Span { file, start: 0, end: 0 };
        Self::new(cx, start, "the top level", root.get_ref())
    }

    /// The root table of a test file.
    pub(super) fn root_of_tests(cx: &'a Context, file: u32, root: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(cx, Span { file, start: 0, end: 0 }, "a test file", root.get_ref())
    }

    fn new(cx: &'a Context, span: Span, title: &'static str, entries: &'a DeTable<'a>) -> Self {
        Self {
            cx,
            span,
            title,
            name: None,
            entries,
            asked: Vec::new(),
            is_open: false,
            is_secretive: false,
            has_refused: false,
        }
    }

    /// How messages name it.
    pub(super) fn title(&self) -> String {
        self.name.map_or(self.title.to_owned(), |name| titled(self.title, name))
    }

    /// Has the values of unknown keys kept out of reports.
    pub(super) fn secretive(&mut self) {
        self.is_secretive = true;
    }

    /// The value of a key that may be absent.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Item<'a>> {
        let found = self.take(key);
        self.cx.ask((self.title, key), found.map(|item| item.key_span));
        found
    }

    /// The value of a key that must be written.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let found = self.optional(key);
        if found.is_none() {
            self.report(Code::MissingKey, format!("`{key}` is missing in {}", self.title()));
        }
        found
    }

    /// Replaces the default in `field` by what is written, if it is.
    pub(super) fn set<T>(&mut self, key: &'static str, field: &mut T, read: impl FnOnce(Item<'a>) -> Option<At<T>>) {
        if let Some(written) = self.optional(key).and_then(read) {
            *field = written.value;
        }
    }

    /// The value of the one key among `keys` that must be written.
    pub(super) fn one_of(&mut self, keys: &[&'static str]) -> Option<Item<'a>> {
        let written: Vec<_> = keys.iter().filter_map(|key| self.optional(key)).collect();
        match written[..] {
            [one] => Some(one),
            [] if self.has_refused => None,
            [] => {
                self.report(Code::MissingKey, format!("{} needs one of {}", self.title(), quoted(keys)));
                None
            }
            [first, second, ..] => {
                let message = format!("{} has both `{}` and `{}`", self.title(), first.key, second.key);
                let help = format!("write exactly one of {}", quoted(keys));
                let finding =
                    Diagnostic::error(Code::Conflict, second.key_span, message).also(first.key_span, "the other one");
                self.cx.report(finding.help(help));
                None
            }
        }
    }

    /// Reports a key that a reader could expect here, and that is not supported. The key that should be there
    /// in its stead is then not reported as missing.
    pub(super) fn refuse(&mut self, key: &'static str, message: &str) {
        if let Some(item) = self.take(key) {
            self.has_refused = true;
            self.cx.report(Diagnostic::error(Code::NotSupported, item.key_span, message));
        }
    }

    /// Every entry in the order of the file; for tables whose keys the operator chooses.
    pub(super) fn entries(&mut self) -> Vec<Item<'a>> {
        self.is_open = true;
        members(self.cx, self.span.file, self.entries)
    }

    /// Reports an error about the table as a whole.
    pub(super) fn report(&self, code: Code, message: String) {
        self.cx.report(Diagnostic::error(code, self.span, message));
    }

    fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.get_key_value(key).map(|(key, value)| member(self.cx, self.span.file, key, value))
    }

    fn report_unknown(&self, unknown: Item<'_>) {
        // A secret may stand under a misspelt key, or in a section with a misspelt name.
        if self.is_secretive || unknown.is_table() {
            unknown.conceal();
        }
        let message = format!("unknown key `{}` in {}", unknown.key, self.title());
        let finding = Diagnostic::error(Code::UnknownKey, unknown.key_span, message);
        // `[types.order.updated]` is a table `updated` inside the type `order`, which hardly anyone means.
        let finding = match self.name {
            Some(name) if unknown.value.is_table() => {
                finding.help(format!("a name with a dot is written in quotes: \"{name}.{}\"", unknown.key))
            }
            _ => finding.one_of(unknown.key, &self.asked),
        };
        self.cx.report(finding);
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.is_open {
            return;
        }
        for member in members(self.cx, self.span.file, self.entries) {
            if !self.asked.contains(&member.key) {
                self.report_unknown(member);
            }
        }
    }
}

impl<'a> Item<'a> {
    /// How messages name it.
    pub(super) fn name(&self) -> String {
        if self.is_element { format!("an element of `{}`", self.key) } else { format!("`{}`", self.key) }
    }

    /// Reports an error at the value: its name, then `fault`.
    pub(super) fn fault(&self, code: Code, fault: impl Display) {
        self.cx.report(Diagnostic::error(code, self.span, format!("{} {fault}", self.name())));
    }

    /// Reports that what the value names, a secret or a key, cannot be had, unless that is to be overlooked.
    pub(super) fn missing(&self, code: Code, fault: impl Display) {
        self.cx.report_missing(self.key, Diagnostic::error(code, self.span, format!("{} {fault}", self.name())));
    }

    /// Reports that the value is not of the type that its key takes.
    pub(super) fn mismatch(&self, expected: &str) {
        self.fault(Code::WrongType, format!("must be {expected}, found {}", self.found()));
    }

    fn found(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a datetime",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// Keeps every string in it out of reports.
    fn conceal(self) {
        match self.value {
            DeValue::String(_) => self.cx.redact(self.span),
            DeValue::Array(_) => self.elements().into_iter().flatten().for_each(Item::conceal),
            DeValue::Table(entries) => members(self.cx, self.span.file, entries).into_iter().for_each(Item::conceal),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// The text of a string, empty or not; nothing, and no report, for another type.
    pub(super) fn as_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The text of a datetime; nothing, and no report, for another type.
    pub(super) fn as_datetime(&self) -> Option<String> {
        self.value.as_datetime().map(ToString::to_string)
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is an array.
    pub(super) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// Whether it is an array without elements.
    pub(super) fn is_empty_array(&self) -> bool {
        self.value.as_array().is_some_and(|array| array.is_empty())
    }

    /// The first key of a table, in the order of the file.
    pub(super) fn first_key(&self) -> Option<&'a str> {
        members(self.cx, self.span.file, self.value.as_table()?).first().map(|member| member.key)
    }

    /// The member of a table.
    pub(super) fn member(self, key: &str) -> Option<Self> {
        let (key, value) = self.value.as_table()?.get_key_value(key)?;
        Some(member(self.cx, self.span.file, key, value))
    }

    /// A string that is not empty.
    pub(super) fn text(self) -> Option<At<&'a str>> {
        self.text_of("a string")
    }

    /// A string that is not empty; messages about another type say what it should be the text of.
    fn text_of(self, expected: &str) -> Option<At<&'a str>> {
        match self.value.as_str() {
            Some("") => self.fault(Code::Empty, "is empty"),
            Some(text) => return Some(At::new(text, self.span)),
            None => self.mismatch(expected),
        }
        None
    }

    /// A string that is not empty, owned.
    pub(super) fn string(self) -> Option<At<String>> {
        self.text().map(|text| text.map(str::to_owned))
    }

    /// A string that `parse` takes; its error follows the string in the message.
    pub(super) fn parsed<T, E: Display>(self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<At<T>> {
        let text = self.text()?;
        match parse(text.value) {
            Ok(value) => Some(At::new(value, self.span)),
            Err(error) => {
                self.fault(Code::WrongForm, format!("is `{}`, which {error}", text.value));
                None
            }
        }
    }

    /// A string that is a name.
    pub(super) fn declared_name(self) -> Option<At<Name>> {
        let text = self.text()?;
        self.parse_name(text.value, self.span).map(|name| At::new(name, self.span))
    }

    /// The key as a name.
    pub(super) fn key_name(self) -> Option<Name> {
        self.parse_name(self.key, self.key_span)
    }

    fn parse_name(self, text: &str, span: Span) -> Option<Name> {
        // The error repeats the text, so nothing is put before it.
        text.parse()
            .map_err(|error: InvalidName| self.cx.report(Diagnostic::error(Code::NoName, span, error.to_string())))
            .ok()
    }

    /// A duration within `range`.
    pub(super) fn duration(self, range: RangeInclusive<Duration>) -> Option<At<Duration>> {
        self.text_of("a duration in quotes, such as \"30s\"")?;
        let duration = self.parsed(parse_duration)?;
        if range.contains(&duration.value) {
            return Some(duration);
        }
        let [least, most] = [range.start(), range.end()].map(|bound| format_duration(*bound));
        self.fault(Code::OutOfRange, format!("is {}, allowed are {least} to {most}", format_duration(duration.value)));
        None
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Option<At<T>> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.text_of(&format!("one of {}", quoted(&words)))?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(At::new(*choice, self.span));
        }
        self.unknown_word(text.value, &words);
        None
    }

    /// Reports a text that is none of a few words.
    pub(super) fn unknown_word(self, text: &str, words: &[&str]) {
        let message = format!("{} cannot be `{text}`", self.name());
        self.cx.report(Diagnostic::error(Code::UnknownWord, self.span, message).one_of(text, words));
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Option<At<bool>> {
        if self.value.as_bool().is_none() {
            self.mismatch("true or false");
        }
        self.value.as_bool().map(|value| At::new(value, self.span))
    }

    /// A whole number.
    pub(super) fn integer(self) -> Option<At<i64>> {
        let Some(integer) = self.value.as_integer() else {
            self.mismatch("an integer");
            return None;
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Some(At::new(value, self.span)),
            Err(_) => {
                self.fault(Code::OutOfRange, "does not fit into 64 bits");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn number<T: TryFrom<i64> + PartialOrd + Display>(self, range: RangeInclusive<T>) -> Option<At<T>> {
        let integer = self.integer()?;
        match T::try_from(integer.value) {
            Ok(value) if range.contains(&value) => Some(At::new(value, self.span)),
            _ => {
                self.fault(
                    Code::OutOfRange,
                    format!("is {}, allowed are {} to {}", integer.value, range.start(), range.end()),
                );
                None
            }
        }
    }

    /// The elements of an array.
    pub(super) fn elements(self) -> Option<Vec<Item<'a>>> {
        let Some(array) = self.value.as_array() else {
            self.mismatch("an array");
            return None;
        };
        let element = |value: &'a Spanned<DeValue<'a>>| {
            let place = span(self.span.file, value.span());
            Item { span: place, key_span: place, value: value.get_ref(), is_element: true, ..self }
        };
        Some(array.iter().map(element).collect())
    }

    /// The elements of an array, each read by `read`, without those that are wrong.
    pub(super) fn list<T>(self, read: impl Fn(Item<'a>) -> Option<At<T>>) -> Option<At<Vec<At<T>>>> {
        let elements = self.elements()?.into_iter().filter_map(read).collect();
        Some(At::new(elements, self.span))
    }

    /// As [`list`](Self::list), and an empty array is a fault.
    pub(super) fn filled_list<T>(self, read: impl Fn(Item<'a>) -> Option<At<T>>) -> Option<At<Vec<At<T>>>> {
        if self.is_empty_array() {
            self.fault(Code::Empty, "is empty");
            return None;
        }
        self.list(read)
    }

    /// A table, which messages call `title`.
    pub(super) fn table(self, title: &'static str) -> Option<Table<'a>> {
        if self.value.as_table().is_none() {
            self.mismatch("a table");
        }
        self.value.as_table().map(|entries| Table::new(self.cx, self.span, title, entries))
    }

    /// A table that its key names, as in `[channels.user]`; messages call it `title` with `*` for the name.
    pub(super) fn named_table(self, title: &'static str) -> Option<Table<'a>> {
        let mut table = self.table(title)?;
        table.name = Some(self.key);
        table.span = self.key_span;
        Some(table)
    }

    /// Any value that JSON can hold as well.
    pub(super) fn json(self) -> Option<At<Value>> {
        let value = match self.value {
            DeValue::String(text) => Value::String(text.clone().into_owned()),
            DeValue::Boolean(boolean) => Value::Bool(*boolean),
            DeValue::Integer(_) => Value::from(self.integer()?.value),
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
                Some(number) => Value::Number(number),
                None => {
                    self.fault(Code::OutOfRange, format!("is `{}`, which JSON has no number for", float.as_str()));
                    return None;
                }
            },
            DeValue::Datetime(_) => {
                self.mismatch("a value that JSON has, such as a string");
                return None;
            }
            DeValue::Array(_) => {
                let read: Vec<_> = self.elements()?.into_iter().map(|item| Some(item.json()?.value)).collect();
                Value::Array(read.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(entries) => {
                let members = members(self.cx, self.span.file, entries).into_iter();
                let read: Vec<_> = members.map(|item| Some((item.key.to_owned(), item.json()?.value))).collect();
                Value::Object(read.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(At::new(value, self.span))
    }
}

/// A table's title with its name in the place of the `*`, in quotes where TOML wants them.
pub(super) fn titled(title: &str, name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    title.replace('*', &if is_bare { name.to_owned() } else { format!("\"{name}\"") })
}

/// The entries of a table, in the order of the file.
fn members<'a>(cx: &'a Context, file: u32, entries: &'a DeTable<'a>) -> Vec<Item<'a>> {
    let mut members: Vec<_> = entries.iter().map(|(key, value)| member(cx, file, key, value)).collect();
    members.sort_by_key(|member| member.key_span.start);
    members
}

fn member<'a>(cx: &'a Context, file: u32, key: &'a Spanned<Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
    let (span, key_span) = (span(file, value.span()), span(file, key.span()));
    Item { cx, key: key.get_ref(), span, key_span, value: value.get_ref(), is_element: false }
}

/// A byte range of a file as a span. Files are capped far below what 32 bits count.
pub(super) fn span(file: u32, range: std::ops::Range<usize>) -> Span {
    Span { file, start: range.start as u32, end: range.end as u32 }
}
