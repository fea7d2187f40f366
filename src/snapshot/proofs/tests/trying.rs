//! What is proven of any rules and any schema, against what the validator and the router make of many notifications.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::{Map, Value, json};

use super::any::{self, AnyRule, Case};
use super::{HEAD, checked_whole};
use crate::config::{At, Diagnostics, Span};
use crate::notification::{Draft, Name, Notification, TypeName};
use crate::routing::{Action, Facts, Route, RoutingTable, Rule, Template};
use crate::schemas::SchemaRegistry;
use crate::snapshot::proofs::rules::{Question, Tie, surely_stops, ties};
use crate::snapshot::proofs::search::Found;
use crate::snapshot::proofs::space::{Formula, Space};
use crate::snapshot::proofs::witness::{self, Witness};
use crate::snapshot::proofs::{Claim, Finding, Invariant, Proof, Target, examine, prove};
use crate::snapshot::{Decision, Observer, Refusal, Snapshot, evaluate};

/// Most notifications that one case is tried with.
const MAX_TRIES: usize = 400;
/// Noon and midnight.
const TIMES: [i64; 2] = [1_767_614_400, 1_767_657_600];

/// What the configuration has besides; its rules and its schema are those of each case.
const MORE: &str = r#"
[channels.letter]
pattern = "dead-letter"
subscribe = "all"
[channels.pair]
pattern = "pair.{one}.{other}"
subscribe = "all"
[plugins.passing]
script = "choosy.rhai"
on_error = "pass"
[plugins.dropping]
script = "choosy.rhai"
on_error = "drop"
[plugins.skipping]
script = "choosy.rhai"
on_error = "skip-rule"
[[rules]]
name = "r"
priority = 1
when = {}
to = ["audit"]
"#;

/// How many are tried: `PROPTEST_CASES`, or as many as a run of all tests has time for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

/// A notification that the schema admits, and what becomes of it.
struct Tried {
    notification: Arc<Notification>,
    at: Timestamp,
    decision: Decision,
    /// The rules that it reached and that match it.
    reached: Vec<Name>,
}

/// Notes which rules the router comes to.
#[derive(Default)]
struct Seen(Vec<Name>);

impl Observer for Seen {
    fn matched(&mut self, rule: &Rule) {
        self.0.push(rule.name.clone());
    }
}

/// Whether the router comes to a rule, which matches.
fn is_reached(snapshot: &Snapshot, rule: &Rule, witness: &Witness) -> bool {
    let mut seen = Seen::default();
    evaluate(snapshot, &witness.notification, witness.at, &mut seen);
    seen.0.contains(&rule.name)
}

impl Tried {
    fn facts(&self) -> Facts<'_> {
        Facts { notification: &self.notification, now: self.at }
    }
}

/// How many questions were decided.
#[derive(Default)]
struct Share {
    decided: Cell<usize>,
    asked: Cell<usize>,
}

impl Share {
    fn add(&self, decided: usize, asked: usize) {
        self.decided.set(self.decided.get() + decided);
        self.asked.set(self.asked.get() + asked);
    }

    fn percent(&self) -> usize {
        self.decided.get() * 100 / self.asked.get().max(1)
    }
}

#[test]
fn proofs_and_trying_agree() {
    let (snapshot, report) = checked_whole(&format!("{HEAD}{MORE}"));
    let snapshot = RefCell::new(snapshot.unwrap_or_else(|| panic!("{report}")));
    let (rules, invariants) = (Share::default(), Share::default());
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&any::case(), |case| {
        let mut snapshot = snapshot.borrow_mut();
        take(&mut snapshot, &case);
        let tried = tries(&snapshot, &case);
        // Of a schema that admits nothing much is true that is not worth a proof.
        let unasked = (Share::default(), Share::default());
        let (rules, invariants) = if tried.is_empty() { (&unasked.0, &unasked.1) } else { (&rules, &invariants) };
        check_rules(&snapshot, &tried, rules)?;
        check_invariant(&snapshot, &tried, invariants)
    });
    result.unwrap();
    // Of few cases no share can be told.
    if cases() >= 200 {
        let (rules, invariants) = (rules.percent(), invariants.percent());
        assert!(rules >= 90 && invariants >= 75, "decided were only {rules} % of rules, {invariants} % of invariants");
    }
}

fn type_name() -> TypeName {
    "t".parse().unwrap()
}

/// Makes the snapshot one of this case.
fn take(snapshot: &mut Snapshot, case: &Case) {
    let file = (At::new("t.json".to_owned(), Span::default()), case.schema.root.to_string().into());
    let mut diagnostics = Diagnostics::default();
    snapshot.schemas = SchemaRegistry::compile(&[(type_name(), file)].into(), &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    let rules = case.rules.iter().enumerate().map(|(index, rule)| compiled(snapshot, index, rule)).collect();
    snapshot.routing = RoutingTable::new(rules, [type_name()].into_iter());
    snapshot.unmatched = case.unmatched;
    let invariant = Invariant { span: Span::default(), for_all: case.for_all.clone(), claim: case.claim.clone() };
    snapshot.invariants = vec![invariant];
}

fn compiled(snapshot: &Snapshot, index: usize, rule: &AnyRule) -> Rule {
    let route = |target: &&str| {
        let template = Template::parse(target).unwrap();
        Route { channel: Arc::clone(snapshot.channels.of_template(&template).unwrap()), template }
    };
    Rule {
        name: format!("r{index}").parse().unwrap(),
        priority: -(index as i64),
        place: "".into(),
        matcher: rule.matcher.clone(),
        filter: rule.filter.map(|filter| filter.parse().unwrap()),
        action: match rule.to {
            [] => Action::Drop("dropped".parse().unwrap()),
            targets => Action::To(targets.iter().map(route).collect()),
        },
        then: rule.then,
    }
}

/// Notifications that the schema admits, of every value that it may have in each place as far as they are not too many.
fn tries(snapshot: &Snapshot, case: &Case) -> Vec<Tried> {
    let [a, b, x] = case.schema.leaves.each_ref().map(|leaf| {
        let validator = jsonschema::options().should_validate_formats(true).build(leaf).unwrap();
        let values = any::values().into_iter().filter(|value| validator.is_valid(value)).map(Some);
        std::iter::once(None).chain(values).collect::<Vec<_>>()
    });
    let parts = [json!(null), json!({}), json!("a")].map(Some).into_iter().chain([None]);
    let objects: Vec<_> = x.into_iter().map(|x| Some(object([("x", x)]))).chain(parts).collect();
    let users = [Some(json!("a")), Some(json!("b c")), None];
    let priorities = ["low", "medium", "high", "critical"];
    let tags = [None, Some(json!([])), Some(json!(["a"])), Some(json!(["ab", "b"]))];
    let all = a.len() * b.len() * objects.len() * users.len() * priorities.len() * tags.len() * TIMES.len();
    let mut tried = Vec::new();
    // A step without a common divisor with any of the numbers of values goes through all of them.
    for place in (0..all.min(MAX_TRIES)).map(|turn| (turn * 1_000_003) % all) {
        let mut rest = place;
        let mut pick = |count: usize| {
            let picked = rest % count;
            rest /= count;
            picked
        };
        let at = Timestamp::from_second(TIMES[pick(TIMES.len())]).unwrap();
        let data = object([
            ("a", a[pick(a.len())].clone()),
            ("b", b[pick(b.len())].clone()),
            ("o", objects[pick(objects.len())].clone()),
        ]);
        let members = object([
            ("type", Some("t".into())),
            ("userId", users[pick(users.len())].clone()),
            ("priority", Some(priorities[pick(priorities.len())].into())),
            ("tags", tags[pick(tags.len())].clone()),
            ("data", Some(data)),
        ]);
        let draft = Draft::from_value(members).unwrap();
        let Ok(draft) = snapshot.schemas.validate(draft) else { continue };
        let notification = Arc::new(Notification::accept(draft, at));
        let mut seen = Seen::default();
        let decision = evaluate(snapshot, &notification, at, &mut seen);
        tried.push(Tried { notification, at, decision, reached: seen.0 });
    }
    tried
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn is_admitted(snapshot: &Snapshot, witness: &Witness) -> bool {
    let draft = Draft::from_value(Value::Object(witness.notification.draft.members.clone())).unwrap();
    snapshot.schemas.validate(draft).is_ok()
}

/// Whether the search finds a notification that reaches a rule.
fn is_shown_reached(space: &Space, snapshot: &Snapshot, rules: &[Rule], index: usize) -> bool {
    let before = (0..index).filter(|earlier| surely_stops(&rules[*earlier]));
    let not = |earlier| Formula::Not(Box::new(Formula::Shared(earlier)));
    let formula = Formula::All(before.map(not).chain([Formula::Shared(index)]).collect());
    let found = space.search(&formula, |region| {
        let witness = witness::find(space, region, &snapshot.schemas)?;
        is_reached(snapshot, &rules[index], &witness).then_some(witness)
    });
    matches!(found, Found::Example(_))
}

fn check_rules(snapshot: &Snapshot, tried: &[Tried], share: &Share) -> TestCaseResult {
    let findings = examine(snapshot);
    let rules = snapshot.routing.rules(&type_name());
    let space =
        Space::new(&snapshot.schemas, &type_name(), &rules.iter().map(|rule| &rule.matcher).collect::<Vec<_>>());
    for (index, rule) in rules.iter().enumerate() {
        let (mut never, mut covered, mut open) = (false, false, false);
        for finding in &findings {
            match finding {
                Finding::NeverMatches { rule: named, .. } if *named == rule.name => never = true,
                Finding::Covered { rule: named, witness, .. } if *named == rule.name => {
                    covered = true;
                    let is_reached = is_reached(snapshot, rule, witness);
                    prop_assert!(rule.matches(witness.facts()) && !is_reached, "{finding:?}");
                    prop_assert!(is_admitted(snapshot, witness), "{finding:?}");
                }
                Finding::Undecided { question: Question::Reached(named), .. } => open |= *named == rule.name,
                _ => {}
            }
        }
        let mut is_shown = is_shown_reached(&space, snapshot, rules, index);
        for one in tried {
            prop_assert!(!never || !rule.matches(one.facts()), "{} matches {:?}", rule.name, one.notification);
            let is_reached = one.reached.contains(&rule.name);
            prop_assert!(!covered || !is_reached, "{} is reached by {:?}", rule.name, one.notification);
            is_shown |= is_reached;
        }
        prop_assert!(!open || !never && !covered);
        share.add(usize::from(never || covered || is_shown), 1);
    }
    check_ties(snapshot, tried)?;
    check_unrouted(snapshot, tried, &findings, share)?;
    check_unfillable(snapshot, tried, &findings)
}

/// As if the rules were of one priority.
fn check_ties(snapshot: &Snapshot, tried: &[Tried]) -> TestCaseResult {
    let even = |rule: &Rule| Rule { priority: 0, ..rule.clone() };
    let rules: Vec<Rule> = snapshot.routing.rules(&type_name()).iter().map(even).collect();
    let both = |pair: [&Rule; 2], facts: Facts<'_>| pair.iter().all(|rule| rule.matches(facts));
    let told = ties(&snapshot.schemas, &type_name(), &rules);
    for (first, second, tie) in &told {
        if let Tie::Shown(witness) = tie {
            prop_assert!(both([first, second], witness.facts()) && is_admitted(snapshot, witness), "{witness}");
        }
    }
    for second in 1..rules.len() {
        for first in 0..second {
            let pair = [&rules[first], &rules[second]];
            let is_told = told
                .iter()
                .any(|(one, other, _)| [one.name.clone(), other.name.clone()] == pair.map(|rule| rule.name.clone()));
            let shown = tried.iter().find(|one| both(pair, one.facts()));
            prop_assert!(is_told || shown.is_none(), "both match {:?}", shown.map(|one| &one.notification));
        }
    }
    Ok(())
}

fn check_unrouted(snapshot: &Snapshot, tried: &[Tried], findings: &[Finding], share: &Share) -> TestCaseResult {
    let rules = snapshot.routing.rules(&type_name());
    let is_unrouted = |facts: Facts<'_>| !rules.iter().any(|rule| rule.matches(facts));
    let (mut is_found, mut is_open) = (false, rules.is_empty());
    for finding in findings {
        match finding {
            Finding::Unrouted { witness, .. } => {
                is_found = true;
                prop_assert!(is_unrouted(witness.facts()) && is_admitted(snapshot, witness), "{finding:?}");
            }
            Finding::Undecided { question: Question::Routed(_), .. } => is_open = true,
            _ => {}
        }
    }
    let shown = tried.iter().find(|one| is_unrouted(one.facts()));
    let agree = is_found || is_open || shown.is_none();
    prop_assert!(agree, "no rule is for {:?}", shown.map(|one| &one.notification));
    share.add(usize::from(!is_open), 1);
    Ok(())
}

fn check_unfillable(snapshot: &Snapshot, tried: &[Tried], findings: &[Finding]) -> TestCaseResult {
    let told = |decision: &Decision| match &decision.outcome {
        Err(Refusal::BadSegment { rule, .. }) => Some(rule.clone()),
        _ => None,
    };
    for finding in findings {
        if let Finding::Unfillable { rule, witness, .. } = finding {
            let decision = evaluate(snapshot, &witness.notification, witness.at, &mut ());
            prop_assert!(told(&decision).as_ref() == Some(rule) && is_admitted(snapshot, witness), "{finding:?}");
        }
    }
    let is_said = |name: &Name| {
        findings.iter().any(|finding| match finding {
            Finding::Unfillable { rule, .. }
            | Finding::Undecided { question: Question::Filled(rule) | Question::Reached(rule), .. } => rule == name,
            _ => false,
        })
    };
    let without_user = tried.iter().filter(|one| one.notification.lookup(&["userId"]).is_none());
    for one in without_user {
        let refusing = match &one.decision.outcome {
            Err(Refusal::BadSegment { rule, fault }) if fault.placeholder == "userId" => Some(rule.clone()),
            _ => None,
        };
        prop_assert!(refusing.as_ref().is_none_or(&is_said), "{refusing:?} refuses {:?}", one.notification);
    }
    Ok(())
}

/// Whether a decision is not as the claim has it.
fn breaks(claim: &Claim, notification: &Notification, decision: &Decision) -> bool {
    let reaches = |target: &Target| match target {
        Target::Declared(name) => decision.deliveries.iter().any(|delivery| delivery.spec.name == *name),
        Target::Named(template) => template
            .fill(notification)
            .is_ok_and(|channel| decision.deliveries.iter().any(|delivery| delivery.channel == channel)),
    };
    decision.outcome.is_ok()
        && match claim {
            Claim::Reaches(target) => !reaches(target),
            Claim::NeverReaches(target) => reaches(target),
            Claim::NeverDrops => !decision.dropped.is_empty() || decision.deliveries.is_empty(),
        }
}

fn check_invariant(snapshot: &Snapshot, tried: &[Tried], share: &Share) -> TestCaseResult {
    let Invariant { for_all, claim, .. } = &snapshot.invariants[0];
    let breaking =
        tried.iter().find(|one| for_all.matches(one.facts()) && breaks(claim, &one.notification, &one.decision));
    let asked = tried.iter().find(|one| for_all.matches(one.facts()));
    let proof = prove(snapshot, &snapshot.invariants[0]);
    share.add(usize::from(!matches!(proof, Proof::Undecided(_))), 1);
    match proof {
        Proof::Proven => {
            prop_assert!(breaking.is_none(), "proven, but for {:?}", breaking.map(|one| &one.notification));
        }
        Proof::Vacuous(_) => {
            prop_assert!(asked.is_none(), "about nothing, but {:?}", asked.map(|one| &one.notification));
        }
        Proof::Refuted(witness, _) => {
            let decision = evaluate(snapshot, &witness.notification, witness.at, &mut ());
            let is_broken = for_all.matches(witness.facts()) && breaks(claim, &witness.notification, &decision);
            prop_assert!(is_broken && is_admitted(snapshot, &witness), "{witness}");
        }
        Proof::Undecided(_) => {}
    }
    Ok(())
}
