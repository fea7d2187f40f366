//! Queries that name what there is not: what is said of them, and what there is instead.

use super::error::Problem;
use super::fault::RequestFault;
use crate::auth::{ANONYMOUS, KEY_PREFIX};
use crate::config::Config;
use crate::notification::{Name, closest};

/// Most names that are listed when none is close to one that is unknown.
const MAX_LISTED: usize = 20;

/// A parameter names what there is not: says so, and what there is.
pub(super) fn unknown<'a>(parameter: &str, got: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let detail = format!("`{parameter}` is unknown: `{got}`; {}", instead(got, known.collect()));
    Problem::new(RequestFault::BadQuery, detail)
}

/// That a parameter names a principal that there can be: one of an issuer or a key that is declared.
pub(super) fn check_principal(parameter: &str, id: &str, config: &Config) -> Result<(), Problem> {
    if id == ANONYMOUS {
        return Ok(());
    }
    let (issuer, sub) = id.split_once(':').unwrap_or(("", id));
    let (got, known, wanted): (_, Vec<_>, _) = if issuer == KEY_PREFIX {
        (sub, config.keys.keys().map(Name::as_str).collect(), "a key that is declared, `key:NAME`")
    } else {
        (issuer, config.issuers.keys().map(Name::as_str).collect(), "a principal of a declared issuer, `ISSUER:SUB`")
    };
    if known.contains(&got) && !sub.is_empty() {
        return Ok(());
    }
    let detail = format!("`{parameter}` is not {wanted}: `{id}`; {}", instead(got, known));
    Err(Problem::new(RequestFault::BadQuery, detail))
}

fn instead(got: &str, mut known: Vec<&str>) -> String {
    known.sort_unstable();
    match (closest(got, known.iter().copied()), known.len()) {
        (Some(name), _) if name != got => format!("did you mean `{name}`?"),
        (_, 0) => "there is none".to_owned(),
        (_, ..=MAX_LISTED) => format!("there are {}", known.join(", ")),
        (_, more) => format!("there are {} and {} more", known[..MAX_LISTED].join(", "), more - MAX_LISTED),
    }
}
