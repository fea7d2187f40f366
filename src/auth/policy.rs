//! Policies: named, allow-only lists of conditions on a principal. What nothing allows is denied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::grant::{ClaimGrant, Grant, Test};
use super::{Action, Principal, Template};
use crate::config::{self, At, ClaimTest, Config, Diagnostic, Diagnostics};
use crate::notification::Name;

/// Proof that a policy allowed something. Only [`Policy::authorize`] makes one.
#[derive(Debug, Clone)]
pub struct Permit(());

/// A refusal that explains itself. It tells what the policy asks for, and no value of the principal's claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy `{policy}` does not let this principal {action}")]
pub struct Denied {
    /// The policy that was asked.
    pub policy: Name,
    /// What was to be done, such as "subscribe to `user.42`".
    pub action: String,
    /// For each entry of `allow`, what was missing.
    pub why: Vec<String>,
}

/// The policies of one configuration.
#[derive(Debug, Default)]
pub struct Policies(BTreeMap<Name, Arc<Policy>>);

/// One compiled policy.
#[derive(Debug, PartialEq)]
pub struct Policy {
    name: Name,
    grants: Vec<Grant>,
}

impl Policies {
    /// Compiles the policies; whatever is wrong with them is a diagnostic.
    #[must_use]
    pub fn compile(config: &Config, diagnostics: &mut Diagnostics) -> Self {
        let compile = |(name, policy): (&Name, &At<config::Policy>)| {
            let mut compiler = Compiler { policy: name, config, diagnostics };
            let grants = policy.allow.iter().filter_map(|grant| compiler.grant(grant)).collect();
            (name.clone(), Arc::new(Policy { name: name.clone(), grants }))
        };
        Self(config.policies.iter().map(compile).collect())
    }

    /// The policy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.0.get(name)
    }

    /// Every declared name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Name::as_str)
    }
}

struct Compiler<'a> {
    policy: &'a Name,
    config: &'a Config,
    diagnostics: &'a mut Diagnostics,
}

impl Compiler<'_> {
    fn grant(&mut self, grant: &config::Grant) -> Option<Grant> {
        match grant {
            config::Grant::Anyone => Some(Grant::Anyone),
            config::Grant::Key(key) => {
                let known = self.config.keys.keys();
                self.resolve("API key", key, known).map(Grant::Key)
            }
            config::Grant::Claim { claim, test, issuer } => {
                if claim.value.split('.').any(str::is_empty) {
                    self.error(claim, "a claim is a dotted path, with no part empty");
                }
                let known = self.config.issuers.keys();
                let issuer = match issuer {
                    Some(issuer) => Some(self.resolve("issuer", issuer, known)?),
                    None => None,
                };
                Some(Grant::Claim(ClaimGrant { path: claim.value.clone(), test: self.test(claim, test)?, issuer }))
            }
        }
    }

    fn test(&mut self, claim: &At<String>, test: &ClaimTest) -> Option<Test> {
        match test {
            ClaimTest::Equals(text) => self.template(text).map(Test::Equals),
            ClaimTest::Contains(text) => self.template(text).map(Test::Contains),
            ClaimTest::In(texts) if texts.is_empty() => {
                self.error(claim, "`in` lists nothing, so this can never allow anyone");
                None
            }
            ClaimTest::In(texts) => texts.iter().map(|text| self.template(text)).collect::<Option<_>>().map(Test::In),
        }
    }

    fn template(&mut self, text: &At<String>) -> Option<Template> {
        Template::parse(&text.value).map_err(|fault| self.error(text, &format!("`{}` {fault}", text.value))).ok()
    }

    fn resolve<'n>(&mut self, kind: &str, name: &At<String>, known: impl Iterator<Item = &'n Name>) -> Option<Name> {
        let known: Vec<&Name> = known.collect();
        if let Some(found) = known.iter().find(|known| known.as_str() == name.value) {
            return Some((*found).clone());
        }
        let error = format!("policy `{}` names the unknown {kind} `{}`", self.policy, name.value);
        let error = Diagnostic::error(name.span, error);
        self.diagnostics.push(error.did_you_mean(&name.value, known.into_iter().map(Name::as_str)));
        None
    }

    fn error(&mut self, at: &At<String>, fault: &str) {
        self.diagnostics.push(Diagnostic::error(at.span, format!("policy `{}`: {fault}", self.policy)));
    }
}

impl Policy {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The placeholders that it needs values for, from a channel's pattern.
    #[must_use]
    pub fn placeholders(&self) -> BTreeSet<&str> {
        self.grants.iter().flat_map(Grant::templates).flat_map(Template::placeholders).collect()
    }

    /// The value of a placeholder that is the principal's own: that of a claim which must equal the placeholder
    /// alone, as `{ claim = "sub", equals = "{user}" }` says whose channel `user.{user}` is.
    #[must_use]
    pub fn own_value(&self, principal: &Principal, placeholder: &str) -> Option<String> {
        self.grants.iter().find_map(|grant| grant.own_value(principal, placeholder))
    }

    /// Whether [`Policy::own_value`] can say what a placeholder stands for.
    #[must_use]
    pub fn has_own_value(&self, placeholder: &str) -> bool {
        self.grants.iter().any(|grant| grant.is_own(placeholder))
    }

    /// Whether `principal` may do `action`; `captures` are the values of the placeholders in the channel's pattern.
    ///
    /// # Errors
    /// What each entry of `allow` found missing.
    pub fn authorize(
        &self,
        principal: &Principal,
        captures: &[(&str, &str)],
        action: Action<'_>,
    ) -> Result<Permit, Denied> {
        let checks = || self.grants.iter().map(|grant| grant.check(principal, captures));
        if checks().any(|check| check.is_ok()) {
            return Ok(Permit(()));
        }
        let why = checks().filter_map(Result::err).map(|missing| missing.to_string()).collect();
        Err(Denied { policy: self.name.clone(), action: action.to_string(), why })
    }
}
