//! Channels: patterns, which must not overlap, and the policies that guard them.

use std::sync::Arc;

use super::{Cx, Kind};
use crate::auth::Policies;
use crate::config::{At, Channel, Code, Config, Diagnostic};
use crate::notification::{ChannelName, Name};
use crate::routing::{ChannelSpec, Channels, Pattern, Template};

/// The patterns of all channels, also of those that have another fault: rules may send there all the same.
pub(super) struct Patterns {
    known: Vec<Pattern>,
    /// Whether there is none beside the known ones.
    is_whole: bool,
}

impl Patterns {
    /// Whether `template` is of a channel, or may be of one whose pattern is not known.
    pub(super) fn may_take(&self, template: &Template) -> bool {
        !self.is_whole || self.known.iter().any(|pattern| template.fits(pattern))
    }

    /// Whether `channel` is one, or may be one whose pattern is not known.
    pub(super) fn may_have(&self, channel: &ChannelName) -> bool {
        !self.is_whole || self.known.iter().any(|pattern| pattern.captures(channel).is_some())
    }

    /// Every known one.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.known.iter()
    }
}

impl Cx {
    pub(super) fn channels(&mut self, config: &Config, policies: &Policies) -> (Channels, Patterns) {
        let mut patterns: Vec<(&Name, Pattern)> = Vec::new();
        let mut specs = Vec::new();
        for (name, declared) in &config.channels {
            let pattern = declared.pattern.as_ref().and_then(|pattern| self.pattern(name, pattern, &patterns));
            specs.extend(self.channel(name, declared, pattern.clone(), config, policies).map(Arc::new));
            patterns.extend(pattern.map(|pattern| (name, pattern)));
        }
        let is_whole = config.channels.is_whole() && patterns.len() == config.channels.len();
        let known = patterns.into_iter().map(|(_, pattern)| pattern).collect();
        (Channels::new(specs), Patterns { known, is_whole })
    }

    fn pattern(&mut self, name: &Name, written: &At<String>, others: &[(&Name, Pattern)]) -> Option<Pattern> {
        let pattern = match Pattern::parse(written) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.error(Code::BadPattern, written.span, format!("pattern of channel `{name}`: {error}"));
                return None;
            }
        };
        let placeholders: Vec<_> = pattern.placeholders().collect();
        for (index, placeholder) in placeholders.iter().enumerate() {
            if placeholders[..index].contains(placeholder) {
                let message = format!("pattern of channel `{name}` has the placeholder `{{{placeholder}}}` twice");
                self.error(Code::BadPattern, written.span, message);
            }
        }
        for (other, _) in others.iter().filter(|(_, other)| other.overlaps(&pattern)) {
            let message = format!("channels `{other}` and `{name}` overlap: one name could belong to both");
            let help = "patterns of equally many segments must differ in a literal";
            self.diagnostics.push(Diagnostic::error(Code::Overlap, written.span, message).help(help));
        }
        Some(pattern)
    }

    fn channel(
        &mut self,
        name: &Name,
        declared: &Channel,
        pattern: Option<Pattern>,
        config: &Config,
        policies: &Policies,
    ) -> Option<ChannelSpec> {
        let written = declared.subscribe.as_ref()?;
        let subscribe = self.resolve(Kind::Policy, written, &config.policies)?;
        let pattern = pattern?;
        let placeholders: Vec<_> = pattern.placeholders().collect();
        let policy = policies.get(subscribe.as_str())?;
        let mut is_clear = !policies.is_faulty(subscribe.as_str());
        for wanted in policy.placeholders().into_iter().filter(|wanted| !placeholders.contains(wanted)) {
            let message =
                format!("policy `{subscribe}` asks for `{{{wanted}}}`, which the pattern `{pattern}` does not have");
            let diagnostic = Diagnostic::error(Code::NoPlaceholder, written.span, message);
            self.diagnostics.push(diagnostic.did_you_mean(wanted, placeholders.iter().copied()));
            is_clear = false;
        }
        if declared.default && is_clear && placeholders.iter().any(|name| !policy.has_own_value(name)) {
            // A client that names no channel has only its token to say which one is its own.
            let message =
                format!("channel `{name}` cannot be a default: policy `{subscribe}` does not say whose it is");
            self.error(Code::NoOwner, written.span, message);
        }
        Some(ChannelSpec {
            name: name.clone(),
            pattern,
            subscribe,
            retention: declared.history,
            default: declared.default,
            event: declared.event,
            shed: declared.shed,
        })
    }
}
