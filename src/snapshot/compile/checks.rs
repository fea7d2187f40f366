//! The configuration's own tests: what they refer to, and whether they pass.

use super::super::{Snapshot, try_test};
use super::{Cx, Kind};
use crate::config::{Code, Config};

impl Cx {
    /// Looks whether every plugin that a test has a verdict for is declared. This does not count as a use of it.
    pub(super) fn stubs(&mut self, config: &Config) {
        for (plugin, _) in config.tests.iter().flat_map(|test| &test.stub) {
            if !config.plugins.contains_key(plugin.value.as_str()) {
                self.unknown(Kind::Plugin, plugin.span, plugin, &config.plugins);
            }
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
