//! What may be meant by a channel or a field that there is not.

use super::channels::Patterns;
use crate::config::{At, Code, Diagnostic};
use crate::notification::closest;
use crate::schemas::FieldKind;

/// Most patterns that are listed when none is close.
const MAX_LISTED: usize = 10;

/// An error about a target that is of no declared channel, with the pattern that is closest to it, or some of those
/// that there are.
pub(super) fn no_channel(written: &At<String>, message: String, patterns: &Patterns) -> Diagnostic {
    let known: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let help = match closest_pattern(written, &known) {
        Some(pattern) if pattern.contains('{') => format!("did you mean a channel of `{pattern}`?"),
        Some(channel) => format!("did you mean `{channel}`?"),
        None => {
            let listed: Vec<_> = known.iter().take(MAX_LISTED).map(|pattern| format!("`{pattern}`")).collect();
            let more = match known.len().saturating_sub(MAX_LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("declared are {}{more}", listed.join(", "))
        }
    };
    let finding = Diagnostic::error(Code::UnknownChannel, written.span, message);
    if known.is_empty() { finding } else { finding.help(help) }
}

/// By all that is written but what stands in braces, else by the first segment alone.
fn closest_pattern<'a>(target: &str, known: &'a [String]) -> Option<&'a str> {
    let closest_by = |part: fn(&str) -> String| {
        let parts: Vec<_> = known.iter().map(|pattern| part(pattern)).collect();
        let found = closest(&part(target), parts.iter().map(String::as_str))?;
        parts.iter().position(|part| part == found).map(|place| known[place].as_str())
    };
    closest_by(without_placeholders).or_else(|| closest_by(first_segment))
}

fn first_segment(channel: &str) -> String {
    without_placeholders(channel).split('.').next().unwrap_or_default().to_owned()
}

/// With `{}` for each placeholder.
fn without_placeholders(channel: &str) -> String {
    let mut inside = false;
    let mut keep = |character: &char| {
        let is_kept = !inside || *character == '}';
        inside = *character == '{' || inside && *character != '}';
        is_kept
    };
    channel.chars().filter(|character| keep(character)).collect()
}

/// Adds which field may be meant by one that a schema does not have, or why it does not have it.
pub(super) fn with_field(finding: Diagnostic, kind: &FieldKind) -> Diagnostic {
    match kind {
        FieldKind::Undeclared { key, known, .. } if known.contains(key) => finding.help(format!(
            "`{key}` is declared and yet refused, by an `additionalProperties` that knows only the `properties` beside it"
        )),
        FieldKind::Undeclared { key, known, .. } => finding.did_you_mean(key, known.iter().map(String::as_str)),
        FieldKind::Declared(_) | FieldKind::Open => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_that_is_closest_is_meant() {
        let known = ["ops.all", "team.{team}", "team.{team}.{room}", "user.{user}"].map(str::to_owned);
        for (target, meant) in [
            ("usr.{userId}", Some("user.{user}")),
            ("team.{data.team.id}.x", Some("team.{team}")),
            ("teams.{data.team}.{data.room}", Some("team.{team}.{room}")),
            ("ops", Some("ops.all")),
            ("user", Some("user.{user}")),
            ("audit", None),
        ] {
            assert_eq!(closest_pattern(target, &known), meant, "{target}");
        }
    }
}
