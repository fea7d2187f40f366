//! A credential as it arrives: in `Authorization`, in a cookie, or from the command line.

use std::fmt;

use super::{AuthError, Digest};

/// Most bytes of a credential; larger ones are refused before anything looks into them.
pub(super) const MAX_CREDENTIAL: usize = 8 * 1024;
/// The cookie that carries a credential for browsers, whose EventSource cannot set headers.
const COOKIE: &str = "fanfare_token";

/// What a caller presents: a JWT or an API key, not yet believed. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Credential(Box<str>);

impl Credential {
    /// Wraps the text of a JWT or API key.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Reads the value of an `Authorization` header (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// [`AuthError::NotBearer`] when it is anything but `Bearer` and one token.
    pub fn from_bearer(header_value: &str) -> Result<Self, AuthError> {
        let (scheme, rest) = header_value.split_once(' ').ok_or(AuthError::NotBearer)?;
        let token = rest.trim_matches(' ');
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(allowed) {
            return Ok(Self::new(token));
        }
        Err(AuthError::NotBearer)
    }

    /// The cookie `fanfare_token` of a `Cookie` header. Of several, the first: browsers send the most specific first.
    #[must_use]
    pub fn from_cookie(cookie_header: &str) -> Option<Self> {
        let cookies = cookie_header.split(';').filter_map(|cookie| cookie.trim_matches(' ').split_once('='));
        let (_, value) = cookies.into_iter().find(|(name, _)| *name == COOKIE)?;
        Some(Self::new(value))
    }

    /// What a cache knows this credential by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// The text, unless it is longer than any credential of ours.
    pub(super) fn text(&self) -> Result<&str, AuthError> {
        if self.0.len() > MAX_CREDENTIAL { Err(AuthError::TooLarge) } else { Ok(&self.0) }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(credential: &Credential) -> &str {
        credential.text().unwrap()
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        for header in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", "Bearer a.b.c "] {
            assert_eq!(text(&Credential::from_bearer(header).unwrap()), "a.b.c", "{header:?}");
        }
        for header in ["", "Bearer", "Bearer ", "Basic a.b.c", "Bearera.b.c", "Bearer a b", "Bearer a,b", "Bearer é"] {
            assert_eq!(Credential::from_bearer(header).unwrap_err(), AuthError::NotBearer, "{header:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_by_its_exact_name() {
        for header in ["fanfare_token=a.b.c", "x=1; fanfare_token=a.b.c", "fanfare_token=a.b.c;fanfare_token=z"] {
            assert_eq!(text(&Credential::from_cookie(header).unwrap()), "a.b.c", "{header:?}");
        }
        for header in ["", "fanfare_token", "xfanfare_token=a", "Fanfare_Token=a", "x=fanfare_token=a"] {
            assert!(Credential::from_cookie(header).is_none(), "{header:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Credential::new("canary")), "Credential(***)");
    }
}
