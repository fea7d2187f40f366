//! Channels: patterns, which must not overlap, and the policies that guard them.

use std::sync::Arc;

use super::{Cx, Kind};
use crate::auth::Policies;
use crate::config::{At, Channel, Config, Diagnostic};
use crate::notification::Name;
use crate::routing::{ChannelSpec, Channels, Pattern};

impl Cx {
    pub(super) fn channels(&mut self, config: &Config, policies: &Policies) -> Channels {
        let mut specs: Vec<(Arc<ChannelSpec>, &At<Channel>)> = Vec::new();
        for (name, declared) in &config.channels {
            let Some(spec) = self.channel(name, declared, config, policies) else { continue };
            if let Some((other, _)) = specs.iter().find(|(other, _)| other.pattern.overlaps(&spec.pattern)) {
                let message = format!("channels `{}` and `{name}` overlap: one name could belong to both", other.name);
                let help = "patterns of equally many segments must differ in a literal";
                self.diagnostics.push(Diagnostic::error(declared.pattern.span, message).help(help));
            }
            specs.push((Arc::new(spec), declared));
        }
        Channels::new(specs.into_iter().map(|(spec, _)| spec).collect())
    }

    fn channel(
        &mut self,
        name: &Name,
        declared: &Channel,
        config: &Config,
        policies: &Policies,
    ) -> Option<ChannelSpec> {
        let subscribe = self.resolve(Kind::Policy, &declared.subscribe, &config.policies);
        let pattern = match Pattern::parse(&declared.pattern) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.error(declared.pattern.span, format!("pattern of channel `{name}`: {error}"));
                return None;
            }
        };
        let placeholders: Vec<_> = pattern.placeholders().collect();
        for (index, placeholder) in placeholders.iter().enumerate() {
            if placeholders[..index].contains(placeholder) {
                let message = format!("pattern of channel `{name}` has the placeholder `{{{placeholder}}}` twice");
                self.error(declared.pattern.span, message);
            }
        }
        let subscribe = subscribe?;
        let policy = policies.get(subscribe.as_str())?;
        for wanted in policy.placeholders() {
            if !placeholders.contains(&wanted) {
                let message = format!(
                    "policy `{subscribe}` asks for `{{{wanted}}}`, which the pattern `{}` does not have",
                    declared.pattern.value
                );
                let diagnostic = Diagnostic::error(declared.subscribe.span, message);
                self.diagnostics.push(diagnostic.did_you_mean(wanted, placeholders.iter().copied()));
            }
        }
        if declared.default && placeholders.iter().any(|name| !policy.has_own_value(name)) {
            // A client that names no channel has only its token to say which one is its own.
            let message =
                format!("channel `{name}` cannot be a default: policy `{subscribe}` does not say whose it is");
            self.error(declared.subscribe.span, message);
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
