//! The configuration's own tests, run through the function that serves.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::{Decision, Snapshot, evaluate};
use super::Cx;
use crate::config::{At, Code, Expectation, Test};
use crate::notification::{Draft, Notification, Violation};

impl Cx {
    /// Runs every `[[tests]]`; one that fails is an error, so a revision that breaks its own tests is not taken.
    pub(super) fn run_tests(&mut self, snapshot: &Snapshot) {
        for test in &snapshot.config.tests {
            self.run_test(snapshot, test);
        }
    }

    fn run_test(&mut self, snapshot: &Snapshot, test: &At<Test>) {
        let now = test.at.as_ref().map_or_else(Timestamp::now, |at| at.value);
        let draft = Draft::from_value(test.given.value.clone());
        let draft = draft.and_then(|draft| snapshot.schemas.validate(draft));
        let got = match draft {
            Ok(draft) => {
                let notification = Arc::new(Notification::accept(draft, now));
                Got::of(evaluate(snapshot, &notification, now, &mut ()))
            }
            Err(violations) => Got::refused("invalid", &violations),
        };
        for (expected, got) in got.differences(&test.expect) {
            let message = format!("test `{}` failed: expected {}, got {got}", test.name.value, expected.value);
            self.error(Code::TestFailed, expected.span, message);
        }
    }
}

/// What came of a test, in the words of `expect`.
#[derive(Default)]
struct Got {
    rules: Vec<String>,
    channels: Vec<String>,
    dropped: Vec<String>,
    refused: Option<String>,
    detail: String,
}

impl Got {
    fn of(decision: Decision) -> Self {
        let (refused, detail) = match decision.outcome {
            Ok(_) => (None, String::new()),
            Err(refusal) => (Some(refusal.reason().code().to_owned()), format!(" ({refusal})")),
        };
        let mut channels: Vec<_> = decision.deliveries.iter().map(|delivery| delivery.channel.to_string()).collect();
        channels.sort();
        Self {
            rules: decision.rules.iter().map(ToString::to_string).collect(),
            channels,
            dropped: decision.dropped.into_iter().map(|dropped| dropped.reason).collect(),
            refused,
            detail,
        }
    }

    fn refused(code: &str, violations: &[Violation]) -> Self {
        let details: Vec<_> = violations.iter().map(|v| format!("{} {}", v.pointer, v.detail)).collect();
        Self { refused: Some(code.to_owned()), detail: format!(" ({})", details.join("; ")), ..Self::default() }
    }

    /// What was expected and is not so, and what is instead.
    fn differences(&self, expect: &Expectation) -> Vec<(At<String>, String)> {
        let mut wanted_channels = expect.channels.clone();
        if let Some(channels) = &mut wanted_channels {
            channels.value.sort();
        }
        let refused = self.refused.as_deref().map_or_else(|| "not refused".to_owned(), |code| format!("`{code}`"));
        let compared = [
            differs("rules", expect.rules.as_ref(), &self.rules),
            differs("channels", wanted_channels.as_ref(), &self.channels),
            (expect.dropped.as_ref()).filter(|wanted| !self.dropped.contains(&wanted.value)).map(|wanted| {
                (At::new(format!("dropped for `{}`", **wanted), wanted.span), format!("{:?}", self.dropped))
            }),
            (expect.refused.as_ref())
                .filter(|wanted| self.refused.as_ref() != Some(&wanted.value))
                .map(|wanted| (At::new(format!("refused for `{}`", **wanted), wanted.span), refused)),
        ];
        compared.into_iter().flatten().map(|(expected, got)| (expected, format!("{got}{}", self.detail))).collect()
    }
}

fn differs(what: &str, wanted: Option<&At<Vec<String>>>, got: &[String]) -> Option<(At<String>, String)> {
    let wanted = wanted.filter(|wanted| wanted.value != got)?;
    Some((At::new(format!("{what} {:?}", wanted.value), wanted.span), format!("{got:?}")))
}
