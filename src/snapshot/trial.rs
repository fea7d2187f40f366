//! One test of a configuration: what came of it through the function that serves, and how that is not what it expects.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::explain::{Explanation, explain_with};
use super::{Decision, Observer, Snapshot, evaluate};
use crate::config::{At, Expectation, Span, Stub, Test};
use crate::notification::{Draft, Name, Notification, Unfit};
use crate::plugins::{Failure, Plugin, Verdict};
use crate::routing::Rule;

/// A test that was run.
#[derive(Debug)]
pub struct Trial {
    /// Every rule that matched, also one whose filter then failed or whose channel was refused.
    pub matched: Vec<Name>,
    /// What is not as expected; nothing when it passed.
    pub differences: Vec<Difference>,
}

/// One thing that a test asks and that is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of `expect`.
    pub what: &'static str,
    /// Where it stands.
    pub span: Span,
    /// What it asks for.
    pub expected: Vec<String>,
    /// What is so instead.
    pub got: Vec<String>,
    /// Why the notification was refused, if it was.
    pub detail: Option<String>,
}

/// How a test came to its end.
#[derive(Debug)]
pub enum Account {
    /// Rules were tried.
    Explained(Explanation),
    /// No rule was tried.
    Unfit(Unfit),
}

/// Runs one test.
#[must_use]
pub fn try_test(snapshot: &Snapshot, test: &Test) -> Trial {
    let mut watched = Watched { stubs: &test.stub, matched: Vec::new() };
    let got = match given(snapshot, test) {
        Ok((notification, now)) => Got::of(evaluate(snapshot, &notification, now, &mut watched)),
        Err(unfit) => Got::unfit(unfit),
    };
    Trial { matched: watched.matched, differences: got.differences(&test.expect) }
}

/// Runs one test again, and keeps the way of it.
#[must_use]
pub fn account(snapshot: &Snapshot, test: &Test) -> Account {
    match given(snapshot, test) {
        Ok((notification, now)) => Account::Explained(explain_with(snapshot, &notification, now, &test.stub)),
        Err(unfit) => Account::Unfit(unfit),
    }
}

/// The notification of a test, and when it is accepted.
fn given(snapshot: &Snapshot, test: &Test) -> Result<(Arc<Notification>, Timestamp), Unfit> {
    let now = test.at.as_ref().map_or_else(Timestamp::now, |at| at.value);
    let draft = Draft::from_value(test.given.value.clone()).and_then(|draft| snapshot.schemas.validate(draft))?;
    Ok((Arc::new(Notification::accept(draft, now)), now))
}

/// What a test has in the place of `plugin`.
pub(super) fn stubbed(stubs: &[(At<String>, Stub)], plugin: &Plugin) -> Option<Verdict> {
    let (_, stub) = stubs.iter().find(|(name, _)| name.value == plugin.name().as_str())?;
    Some(match stub {
        Stub::Pass => Verdict::Pass,
        Stub::Drop(reason) => Verdict::Drop(reason.as_ref().unwrap_or(plugin.name()).clone()),
        Stub::Error => Verdict::Failed(Failure::Script("the test has an error here".to_owned())),
    })
}

struct Watched<'a> {
    stubs: &'a [(At<String>, Stub)],
    matched: Vec<Name>,
}

impl Observer for Watched<'_> {
    fn matched(&mut self, rule: &Rule) {
        self.matched.push(rule.name.clone());
    }

    fn stub(&mut self, plugin: &Plugin) -> Option<Verdict> {
        stubbed(self.stubs, plugin)
    }
}

/// What came of a test, in the words of `expect`.
#[derive(Default)]
struct Got {
    rules: Vec<String>,
    channels: Vec<String>,
    dropped: Vec<String>,
    refused: Option<String>,
    detail: Option<String>,
}

impl Got {
    fn of(decision: Decision) -> Self {
        let refusal = decision.outcome.err();
        let mut channels: Vec<_> = decision.deliveries.iter().map(|delivery| delivery.channel.to_string()).collect();
        channels.sort();
        Self {
            rules: decision.rules.iter().map(ToString::to_string).collect(),
            channels,
            dropped: decision.dropped.into_iter().map(|dropped| dropped.reason).collect(),
            refused: refusal.as_ref().map(|refusal| refusal.reason().code().to_owned()),
            detail: refusal.map(|refusal| refusal.to_string()),
        }
    }

    fn unfit(unfit: Unfit) -> Self {
        let refused = Some(unfit.reason().code().to_owned());
        let details: Vec<_> = unfit.violations().iter().map(ToString::to_string).collect();
        Self { refused, detail: Some(details.join("; ")), ..Self::default() }
    }

    /// What was expected and is not so, and what is instead.
    fn differences(self, expect: &Expectation) -> Vec<Difference> {
        let mut channels = expect.channels.clone();
        if let Some(channels) = &mut channels {
            channels.value.sort();
        }
        let names = |rules: Vec<At<String>>| rules.into_iter().map(|rule| rule.value).collect();
        let rules = expect.rules.clone().map(|rules| rules.map(names));
        let one = |wanted: &Option<At<String>>| wanted.clone().map(|wanted| wanted.map(|reason| vec![reason]));
        let (dropped, refused) = (one(&expect.dropped), one(&expect.refused));
        // Several rules may drop it, and the test asks for one of the reasons.
        let dropped = dropped.filter(|wanted| !self.dropped.contains(&wanted.value[0]));
        let compared = [
            ("rules", rules, self.rules),
            ("channels", channels, self.channels),
            ("dropped", dropped, self.dropped),
            ("refused", refused, self.refused.into_iter().collect()),
        ];
        let differing = compared.into_iter().filter_map(|(what, wanted, got)| {
            let At { value: expected, span } = wanted.filter(|wanted| wanted.value != got)?;
            Some(Difference { what, span, expected, got, detail: self.detail.clone() })
        });
        differing.collect()
    }
}

/// In one line.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, got, .. } = self;
        match *what {
            "dropped" => write!(f, "expected dropped for `{}`, got {got:?}", expected.concat())?,
            "refused" if got.is_empty() => write!(f, "expected refused for `{}`, got not refused", expected.concat())?,
            "refused" => write!(f, "expected refused for `{}`, got `{}`", expected.concat(), got.concat())?,
            _ => write!(f, "expected {what} {expected:?}, got {got:?}")?,
        }
        self.detail.iter().try_for_each(|detail| write!(f, " ({detail})"))
    }
}
