//! Secrets: typed leaves of the configuration, never shown.

use std::fmt;

use subtle::ConstantTimeEq as _;

use super::files::{create_secret, named_file, named_path};
use super::source::shown;
use super::table::Item;
use super::{At, Code, Diagnostic};

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
    item.fault(Code::NoSecret, format!("names `{name}`, which {fault}"));
    None
}

fn created_file(item: Item<'_>) -> Option<String> {
    let path = named_path(item)?;
    if !path.exists()
        && let Err(error) = create_secret(&path)
    {
        item.fault(Code::NoSecret, format!("names `{}`, which cannot be created: {error}", shown(&path)));
        return None;
    }
    named_file(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
    }
}
