//! Invariants: what they are for into matchers, what they name into channels.

use std::sync::Arc;

use super::Cx;
use super::meant::{no_channel, with_field};
use super::rules::{Declared, ENVELOPE, faults_in, is_path};
use crate::config::{self, At, Code, Diagnostic, InvariantClaim};
use crate::notification::TypeName;
use crate::routing::{ChannelSpec, Template};
use crate::schemas::FieldKind;
use crate::snapshot::proofs::{Claim, Invariant, Target};

impl Cx {
    /// The invariant; none when it has a fault.
    pub(super) fn invariant(&mut self, written: &At<config::Invariant>, declared: &Declared<'_>) -> Option<Invariant> {
        let for_all = self.matcher(&written.for_all, declared);
        let mut faults = Vec::new();
        faults_in(&written.for_all, &mut faults);
        let types = declared.types_of(&for_all);
        for type_name in &types {
            self.check_fields(&written.for_all, type_name, declared);
        }
        self.check_comparisons(&written.for_all, &types, declared);
        let claim = match &written.claim {
            InvariantClaim::MustReach(target) => Claim::Reaches(self.invariant_target(target, &types, declared)?),
            InvariantClaim::MustNeverReach(target) => {
                Claim::NeverReaches(self.invariant_target(target, &types, declared)?)
            }
            InvariantClaim::MustNotDrop => Claim::NeverDrops,
        };
        faults.is_empty().then_some(Invariant { span: written.span, for_all, claim })
    }

    /// A declared channel by its name, or what a rule would send to.
    fn invariant_target(
        &mut self,
        written: &At<String>,
        types: &[&TypeName],
        declared: &Declared<'_>,
    ) -> Option<Target> {
        if let Some(spec) = declared.channels.iter().find(|spec| spec.name.as_str() == written.value) {
            return Some(Target::Declared(spec.name.clone()));
        }
        if let Ok(template) = Template::parse(written)
            && declared.patterns.may_take(&template)
        {
            self.check_filling(written, &template, types, declared);
            return Some(Target::Named(template));
        }
        let message = format!("`{}` is neither a declared channel nor a channel of one", written.value);
        let names: Vec<&str> = declared.channels.iter().map(|spec| spec.name.as_str()).collect();
        let finding = no_channel(written, message, declared.patterns);
        self.diagnostics.push(finding.did_you_mean(&written.value, names));
        None
    }

    /// A placeholder that stands for nothing in any notification names no channel, so nothing would ever reach it.
    fn check_filling(
        &mut self,
        written: &At<String>,
        template: &Template,
        types: &[&TypeName],
        declared: &Declared<'_>,
    ) {
        for path in template.placeholders().map(|path| path.join(".")) {
            let is_lacking =
                |type_name: &&TypeName| matches!(&*declared.field(type_name, &path), FieldKind::Undeclared { .. });
            let finding = if !is_path(&path) {
                let message = format!("a notification has no `{path}`");
                Diagnostic::error(Code::NoPath, written.span, message).did_you_mean(&path, ENVELOPE)
            } else if !types.is_empty() && types.iter().all(is_lacking) {
                let message = format!("no schema of what the invariant is for has `{path}`");
                let kinds = types.iter().map(|type_name| declared.field(type_name, &path));
                let finding = Diagnostic::error(Code::UndeclaredField, written.span, message);
                kinds.fold(finding, |finding, kind| with_field(finding, &kind))
            } else {
                continue;
            };
            let meant = declared.channels.iter().find(|spec| spec.pattern.to_string() == written.value);
            let help = |spec: &Arc<ChannelSpec>| format!("`{0}` names all channels of `[channels.{0}]`", spec.name);
            self.push_once(&path, meant.map(help).into_iter().fold(finding, Diagnostic::help));
        }
    }
}
