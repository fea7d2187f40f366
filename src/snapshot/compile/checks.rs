//! The configuration's own tests: what they refer to, and whether they pass.

use std::collections::BTreeSet;

use super::super::{Snapshot, try_test};
use super::{Cx, Kind};
use crate::config::{Code, Config, Test};
use crate::notification::Reason;

impl Cx {
    /// Looks whether what tests name is declared. This does not count as a use of it.
    pub(super) fn tests(&mut self, config: &Config) {
        for (plugin, _) in config.tests.iter().flat_map(|test| &test.stub) {
            if !config.plugins.contains_key(plugin.value.as_str()) {
                self.unknown(Kind::Plugin, plugin.span, plugin, &config.plugins);
            }
        }
        for test in &config.tests {
            if let Some(name) = test.given_type.as_ref().filter(|_| !expects_no_type(test))
                && !config.types.contains_key(name.value.as_str())
            {
                self.unknown(Kind::Type, name.span, name, &config.types);
            }
        }
        self.expected_rules(config);
    }

    fn expected_rules(&mut self, config: &Config) {
        // It may be one that could not be read.
        if self.doubtful.contains(&Kind::Rule) {
            return;
        }
        let declared: BTreeSet<_> =
            config.rules.iter().filter_map(|rule| rule.name.as_ref()).map(|name| name.as_str()).collect();
        let expected = config.tests.iter().filter_map(|test| test.expect.rules.as_ref()).flat_map(|rules| &rules.value);
        for rule in expected.filter(|rule| !declared.contains(&*rule.value)) {
            self.undeclared(Kind::Rule, rule.span, rule, declared.iter().copied());
        }
    }

    /// Runs every `[[tests]]`; one that fails is an error, so a revision that breaks its own tests is not taken.
    pub(super) fn run_tests(&mut self, snapshot: &Snapshot) {
        for test in &snapshot.config.tests {
            for difference in try_test(snapshot, test).differences {
                let message = format!("test `{}` failed: {difference}", test.name.value);
                self.error(Code::TestFailed, difference.span, message);
            }
        }
    }
}

/// Whether a test is about a type that there is not.
fn expects_no_type(test: &Test) -> bool {
    let expected = test.expect.refused.as_ref().map(|code| code.value.as_str());
    // What is malformed is refused for that first.
    [Reason::UnknownType, Reason::Malformed].iter().any(|reason| expected == Some(reason.code()))
}
