//! Secrets: typed leaves of the configuration, never shown.

use std::fmt;

use subtle::ConstantTimeEq as _;

use super::files::{CREATED_BYTES, create_secret, named_file, named_path};
use super::source::shown;
use super::table::Item;
use super::{At, Code, Diagnostic};

/// What is done about secrets, and about keys in files of their own, while a configuration is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are read, and one with `create = true` whose file is missing is made: what a server does.
    Create,
    /// They are read, and one that a server would make counts as made: to look whether it would serve.
    Read,
    /// What cannot be read is passed over, with what it is for: for who can do without, or says which one is needed.
    Overlook,
}

/// A secret text. Its `Debug` shows nothing, it has no `Display`, and only [`Secret::expose`] gives it out.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Takes as long whatever the texts have in common.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// Reads `{ env = "X" }` or `{ file = "p" }`. Anything else is refused, and not repeated in the message.
pub(super) fn secret(item: Item<'_>) -> Option<At<Secret>> {
    if !item.is_table() {
        item.cx.redact(item.span);
        let message = format!("{} is a secret, and must not be written out", item.name());
        let finding = Diagnostic::error(Code::WrittenSecret, item.span, message).label("not shown");
        item.cx.report(finding.help("write { env = \"NAME\" } or { file = \"PATH\" }"));
        return None;
    }
    let mut table = item.table("a secret's table")?;
    table.secretive();
    let create = table.optional("create").and_then(Item::boolean);
    let from = table.one_of(&["env", "file"])?;
    let text = match (from.key, create) {
        ("env", None) => from_environment(from)?,
        ("env", Some(create)) => {
            from.cx.report(Diagnostic::error(Code::Conflict, create.span, "`create` goes with `file`, not with `env`"));
            return None;
        }
        (_, Some(At { value: true, .. })) => created_file(from)?,
        (_, _) => named_file(from)?,
    };
    Some(At::new(Secret::new(text), item.span))
}

fn from_environment(item: Item<'_>) -> Option<String> {
    let name = item.text()?.value;
    let fault = match std::env::var(name) {
        Ok(text) if !text.is_empty() => return Some(text),
        Ok(_) => "is empty",
        Err(std::env::VarError::NotPresent) => "is not set",
        Err(std::env::VarError::NotUnicode(_)) => "is not UTF-8",
    };
    item.missing(Code::NoSecret, format!("names `{name}`, which {fault}"));
    None
}

fn created_file(item: Item<'_>) -> Option<String> {
    let path = named_path(item)?;
    if path.exists() {
        return named_file(item);
    }
    let fault = match item.cx.secrets {
        Secrets::Create => match create_secret(&path) {
            Ok(()) => return named_file(item),
            Err(error) => format!("which cannot be created: {error}"),
        },
        Secrets::Read => {
            item.cx.add_input(path);
            // As long as one that is made, and for nobody to use.
            return Some("0".repeat(2 * CREATED_BYTES));
        }
        Secrets::Overlook => "which is missing until a server is started".to_owned(),
    };
    item.missing(Code::NoSecret, format!("names `{}`, {fault}", shown(&path)));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
    }
}
