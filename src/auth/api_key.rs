//! API keys: `fanfare~<name>~<secret>`, of which the server knows only the SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Digest;
use crate::config::Secret;
use crate::notification::Name;

/// What every API key starts with. A JWT holds no `~`, so the two cannot be taken for one another, and secret
/// scanners can look for it.
const PREFIX: &str = "fanfare~";

/// A new API key. The text is shown once, to whom it is for; only the digest is configured.
#[derive(Debug)]
pub struct NewKey {
    /// What the producer presents.
    pub text: Secret,
    /// What `auth.keys.<name>.sha256` is set to.
    pub sha256: String,
}

/// Makes an API key of `name` with 256 random bits, so that a plain, fast hash of it gives nothing away.
#[must_use]
pub fn generate_key(name: &Name) -> NewKey {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let text = format!("{PREFIX}{name}~{secret}");
    NewKey { sha256: Digest::of(&text).to_hex(), text: Secret::new(text) }
}

/// Whether `text` is written as an API key.
pub(super) fn is_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The public part of an API key's text, which says which configured digest to compare with.
pub(super) fn name_of(text: &str) -> Option<&str> {
    let (name, _secret) = text.strip_prefix(PREFIX)?.split_once('~')?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_carries_its_name_and_enough_randomness() {
        let name: Name = "orders.v2".parse().unwrap();
        let (one, two) = (generate_key(&name), generate_key(&name));
        assert_eq!(name_of(one.text.expose()), Some("orders.v2"));
        assert_eq!(one.text.expose().len(), "fanfare~orders.v2~".len() + 43);
        assert_ne!(one.sha256, two.sha256);
        assert!(!format!("{one:?}").contains(one.text.expose()));
    }
}
