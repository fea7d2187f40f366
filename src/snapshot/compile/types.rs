//! Types: who may publish them, and how often.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::TypeSpec;
use super::{Cx, Kind};
use crate::auth::Policies;
use crate::config::{At, Code, Config, Type};
use crate::limits::Quotas;
use crate::notification::TypeName;

impl Cx {
    pub(super) fn types(
        &mut self,
        config: &Config,
        policies: &Policies,
        quotas: &Quotas,
    ) -> HashMap<TypeName, TypeSpec> {
        let mut types = HashMap::new();
        for (name, declared) in &config.types {
            if let Some(spec) = self.type_spec(name, declared, config, policies, quotas) {
                types.insert(name.clone(), spec);
            }
        }
        types
    }

    fn type_spec(
        &mut self,
        name: &TypeName,
        declared: &At<Type>,
        config: &Config,
        policies: &Policies,
        quotas: &Quotas,
    ) -> Option<TypeSpec> {
        let publish = declared.publish.as_ref();
        let policy = publish.and_then(|publish| self.resolve(Kind::Policy, publish, &config.policies));
        let limit = declared.limit.as_ref().map(|limit| self.resolve(Kind::Limit, limit, &config.limits));
        let policy = Arc::clone(policies.get(policy?.as_str())?);
        if let Some(placeholder) = policy.placeholders().first() {
            let message = format!(
                "policy `{}` asks for `{{{placeholder}}}` of a channel, and publishing `{name}` has none",
                policy.name()
            );
            self.error(Code::NoPlaceholder, publish?.span, message);
        }
        let limit = match limit {
            None => None,
            Some(limit) => Some(Arc::clone(quotas.get(limit?.as_str())?)),
        };
        Some(TypeSpec { publish: policy, limit, trace: declared.trace })
    }
}
