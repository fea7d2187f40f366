//! Policies: named, allow-only lists of conditions on a principal. What nothing allows is denied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::grant::{ClaimGrant, Grant, Test};
use super::{Action, Principal, Template};
use crate::config::{self, At, ClaimTest, Code, Config, Diagnostic, Diagnostics, Named};
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
pub struct Policies {
    by_name: BTreeMap<Name, Arc<Policy>>,
    /// Those with an entry that has a fault: what they ask for is not wholly known.
    faulty: BTreeSet<Name>,
}

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
        let mut policies = Self::default();
        for (name, policy) in &config.policies {
            let mut compiler = Compiler { policy: name, config, diagnostics };
            let grants: Vec<_> = policy.allow.iter().filter_map(|grant| compiler.grant(grant)).collect();
            if grants.len() < policy.allow.len() {
                policies.faulty.insert(name.clone());
            }
            policies.by_name.insert(name.clone(), Arc::new(Policy { name: name.clone(), grants }));
        }
        policies
    }

    /// The policy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.by_name.get(name)
    }

    /// Whether the policy of that name has an entry with a fault, so that it may allow more than is known.
    #[must_use]
    pub fn is_faulty(&self, name: &str) -> bool {
        self.faulty.contains(name)
    }

    /// Every declared name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(Name::as_str)
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
            config::Grant::Key(key) => self.resolve("API key", key, &self.config.keys).map(Grant::Key),
            config::Grant::Claim { claim, test, issuer } => {
                self.claim(Some(claim), Some(test), issuer.as_ref()).map(Grant::Claim)
            }
            config::Grant::Faulty { claim, test, issuer } => {
                self.claim(claim.as_ref(), test.as_ref(), issuer.as_ref()).map(Grant::Claim)
            }
        }
    }

    /// Every part is looked at, whichever of them has a fault.
    fn claim(
        &mut self,
        claim: Option<&At<String>>,
        test: Option<&ClaimTest>,
        issuer: Option<&At<String>>,
    ) -> Option<ClaimGrant> {
        if let Some(claim) = claim.filter(|claim| claim.value.split('.').any(str::is_empty)) {
            self.error(claim, "a claim is a dotted path, with no part empty");
        }
        let issuer = issuer.map(|issuer| self.resolve("issuer", issuer, &self.config.issuers));
        let test = test.and_then(|test| self.test(claim, test));
        let issuer = match issuer {
            Some(issuer) => Some(issuer?),
            None => None,
        };
        Some(ClaimGrant { path: claim?.value.clone(), test: test?, issuer })
    }

    fn test(&mut self, claim: Option<&At<String>>, test: &ClaimTest) -> Option<Test> {
        match test {
            ClaimTest::Equals(text) => self.template(text).map(Test::Equals),
            ClaimTest::Contains(text) => self.template(text).map(Test::Contains),
            ClaimTest::In(texts) if texts.is_empty() => {
                self.error(claim?, "`in` lists nothing, so this can never allow anyone");
                None
            }
            ClaimTest::In(texts) => {
                // Not collected into an option at once, which would stop at the first fault.
                let texts: Vec<_> = texts.iter().map(|text| self.template(text)).collect();
                texts.into_iter().collect::<Option<_>>().map(Test::In)
            }
        }
    }

    fn template(&mut self, text: &At<String>) -> Option<Template> {
        Template::parse(&text.value).map_err(|fault| self.error(text, &format!("`{}` {fault}", text.value))).ok()
    }

    fn resolve<T>(&mut self, kind: &str, name: &At<String>, declared: &Named<T>) -> Option<Name> {
        if let Some((found, _)) = declared.get_key_value(name.value.as_str()) {
            return Some(found.clone());
        }
        if !declared.may_have(&name.value) {
            let error = format!("policy `{}` names the unknown {kind} `{}`", self.policy, name.value);
            let error = Diagnostic::error(Code::UnknownName, name.span, error);
            self.diagnostics.push(error.did_you_mean(&name.value, declared.keys().map(Name::as_str)));
        }
        None
    }

    fn error(&mut self, at: &At<String>, fault: &str) {
        self.diagnostics.push(Diagnostic::error(Code::BadGrant, at.span, format!("policy `{}`: {fault}", self.policy)));
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
