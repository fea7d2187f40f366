//! `fanfare test`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::status::Status;
use super::{ConfigArgs, Misused, difference, faulty, print};
use crate::config::{self, At, Secrets, Test};
use crate::notification::Name;
use crate::snapshot::{Account, Depth, Snapshot, Trial, account, compile, try_test};

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run only the tests that have this in their name
    name: Option<String>,
    /// Also list the rules that no test hits
    #[arg(long)]
    coverage: bool,
}

/// Runs the tests of the configuration and of its test files, and prints what came of each.
pub(super) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let compiled = compile(config::load_with_tests(&args.config.config, Secrets::Overlook), Depth::Untested);
    let Some(snapshot) = compiled.snapshot else { return Err(faulty(&compiled.diagnostics)) };
    let wanted = args.name.as_deref().unwrap_or_default();
    let chosen: Vec<_> = snapshot.config.tests.iter().filter(|test| test.name.value.contains(wanted)).collect();
    if chosen.is_empty() && !wanted.is_empty() {
        return Err(Misused(format!("no test has `{wanted}` in its name")).into());
    }
    let trials: Vec<_> = chosen.into_iter().map(|test| (test, try_test(&snapshot, test))).collect();
    let failed = trials.iter().filter(|(_, trial)| !trial.differences.is_empty()).count();
    let mut report = listed(&trials);
    for (test, trial) in trials.iter().filter(|(_, trial)| !trial.differences.is_empty()) {
        report += &failure(&snapshot, test, trial)?;
    }
    if failed > 0 {
        report.push('\n');
    }
    if args.coverage {
        report += &coverage(&snapshot, &trials)?;
    }
    writeln!(report, "{} passed, {failed} failed", trials.len() - failed)?;
    print(&report)?;
    Ok(if failed == 0 { Status::Done.into() } else { Status::TestsFailed.into() })
}

/// A line for each test.
fn listed(trials: &[(&At<Test>, Trial)]) -> String {
    let line = |(test, trial): &(&At<Test>, Trial)| {
        let word = if trial.differences.is_empty() { "ok" } else { "FAILED" };
        format!("{word:6}  {}\n", test.name.value)
    };
    trials.iter().map(line).collect()
}

/// What a test expects and did not get, and the way to what it got.
fn failure(snapshot: &Snapshot, test: &Test, trial: &Trial) -> Result<String, std::fmt::Error> {
    let place = snapshot.sources.place(test.name.span);
    let mut text = format!("\ntest `{}` at {place}\n", test.name.value);
    for found in &trial.differences {
        writeln!(text, "  {} at {}: - expected, + got", found.what, snapshot.sources.place(found.span))?;
        for line in difference::lines(&found.expected, &found.got) {
            writeln!(text, "    {line}")?;
        }
    }
    match account(snapshot, test) {
        Account::Explained(explanation) => write!(text, "{explanation}")?,
        Account::Unfit(unfit) => {
            writeln!(text, "result: {}", unfit.reason().code())?;
            for violation in unfit.violations().iter() {
                writeln!(text, "  {violation}")?;
            }
        }
    }
    Ok(text)
}

/// The rules that no test hits, and how many one does.
fn coverage(snapshot: &Snapshot, trials: &[(&At<Test>, Trial)]) -> Result<String, std::fmt::Error> {
    let hit: HashSet<&Name> = trials.iter().flat_map(|(_, trial)| &trial.matched).collect();
    let rules: Vec<_> = snapshot.config.rules.iter().filter_map(|rule| rule.name.as_ref()).collect();
    let missed: Vec<_> = rules.iter().filter(|name| !hit.contains(&name.value)).collect();
    let mut text = String::new();
    for name in &missed {
        writeln!(text, "no test hits rule `{}` at {}", name.value, snapshot.sources.place(name.span))?;
    }
    let hits = rules.len() - missed.len();
    // Rounded down: 100 % is all of them.
    let percentage = (hits * 100).checked_div(rules.len()).unwrap_or(100);
    writeln!(text, "{hits} of {} rules are hit, {percentage} %", rules.len())?;
    Ok(text)
}
