//! `fanfare config`: the revisions that were kept, what differs between them, and the way back.

mod rollback;
mod side;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use similar::TextDiff;

use self::side::Side;
use super::{ConfigArgs, print};
use crate::config::{self, Secrets};
use crate::reload::{Generation, Generations};
use crate::snapshot::{Diff, Snapshot};

/// How many revisions are suggested in place of one that is not kept.
const SUGGESTED: usize = 3;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where revisions are kept, if the configuration cannot say: by default `paths.generations`
    #[arg(long, value_name = "FOLDER", global = true)]
    generations: Option<PathBuf>,
    #[command(subcommand)]
    command: HistoryCommand,
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// List the revisions that were kept, the newest first, and what a rollback kept as broken
    Log,
    /// Show what differs between a revision and the files as they are, or another revision or file
    Diff {
        /// A revision or what was kept as broken, or as much of its name as no other begins with
        from: String,
        /// A revision or a main configuration file; by default the one of `--config`
        to: Option<String>,
    },
    /// Put the files of a revision back in place; a server that runs takes them then
    Rollback {
        /// A revision or what was kept as broken, or as much of its name as no other begins with
        revision: String,
    },
}

/// Lists, compares or puts back.
pub(super) fn config(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let main = &args.config.config;
    match &args.command {
        HistoryCommand::Log => log(&args.generations()?.list()?),
        HistoryCommand::Diff { from, to } => {
            let kept = args.generations()?.list()?;
            let mut before = Side::kept(find(&kept, from)?, main, Secrets::Overlook)?;
            let mut after = match to {
                None => Side::present(main, Secrets::Overlook),
                Some(to) if Path::new(to).is_file() => Side::present(Path::new(to), Secrets::Overlook),
                Some(to) => Side::kept(find(&kept, to)?, main, Secrets::Overlook)?,
            };
            before.complete(&after);
            after.complete(&before);
            compare(&before, &after)
        }
        HistoryCommand::Rollback { revision } => {
            let generations = args.generations()?;
            let kept = generations.list()?;
            rollback::rollback(&generations, find(&kept, revision)?, main)
        }
    }
}

impl HistoryArgs {
    fn generations(&self) -> anyhow::Result<Generations> {
        let folder = self
            .generations
            .clone()
            .or_else(|| config::load(&self.config.config, Secrets::Overlook).draft.paths.generations);
        let folder = folder.ok_or_else(|| {
            let main = self.config.config.display();
            match File::open(&self.config.config) {
                Ok(_) => anyhow!(
                    "{main} does not say where revisions are kept: set `paths.generations`, or give --generations"
                ),
                Err(error) => anyhow!("{main} cannot be read: {error}; --generations says where revisions are kept"),
            }
        })?;
        Ok(Generations::within(folder))
    }
}

/// The generation whose revision begins so. A revision that was taken several times is the same each time.
fn find<'a>(kept: &'a [Generation], revision: &str) -> anyhow::Result<&'a Generation> {
    let meant: Vec<_> = kept.iter().filter(|generation| generation.revision.starts_with(revision)).collect();
    let revisions: BTreeSet<_> = meant.iter().map(|generation| &generation.revision).collect();
    match (meant.first(), revisions.len()) {
        (Some(&newest), 1) => Ok(newest),
        (None, _) => {
            let nearest = nearest(kept, revision);
            Err(anyhow!("no revision `{revision}` is kept{nearest}; `fanfare config log` lists those that are"))
        }
        _ => {
            let revisions = revisions.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(anyhow!("several revisions begin with `{revision}`: {revisions}"))
        }
    }
}

/// The kept revisions that share most of their start with `revision`, as the end of a sentence about it.
fn nearest(kept: &[Generation], revision: &str) -> String {
    let shared = |other: &str| other.bytes().zip(revision.bytes()).take_while(|(one, other)| one == other).count();
    let mut near: Vec<_> = kept.iter().map(|generation| generation.revision.as_str()).collect();
    near.sort_by_key(|other| (Reverse(shared(other)), *other));
    near.dedup();
    near.truncate(SUGGESTED);
    if near.is_empty() { String::new() } else { format!(", the nearest are {}", near.join(", ")) }
}

/// The revision that `folder` keeps and that begins so, compiled as if it were at `main`.
pub(super) fn kept_snapshot(folder: &Path, revision: &str, main: &Path) -> anyhow::Result<Snapshot> {
    let kept = Generations::within(folder.to_path_buf()).list()?;
    let generation = find(&kept, revision)?;
    Side::kept(generation, main, Secrets::Overlook)?
        .snapshot
        .map_err(|faults| anyhow!("revision {} is not one that a server would take now\n{faults}", generation.revision))
}

fn log(kept: &[Generation]) -> anyhow::Result<ExitCode> {
    let mut lines = String::new();
    for Generation { revision, taken_at, trigger, changes, .. } in kept {
        writeln!(lines, "{revision}  {taken_at:.0}  {trigger:8}  {changes}")?;
    }
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what differs by name, then file by file.
fn compare(before: &Side, after: &Side) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    match (&before.snapshot, &after.snapshot) {
        (Ok(old), Ok(new)) => text += &Diff::between(old, new).to_lines(),
        (Err(faults), _) | (_, Err(faults)) => {
            writeln!(io::stderr(), "warning: one of them has errors, so only the files are compared\n{faults}")
                .context("standard error")?;
        }
    }
    let paths: BTreeSet<_> = before.files.keys().chain(after.files.keys()).collect();
    for path in paths {
        let side = |side: &Side| side.files.get(path).cloned();
        let (old, new) = (side(before), side(after));
        if old != new {
            let name = |text: &Option<String>, name: String| if text.is_some() { name } else { "/dev/null".to_owned() };
            let shown = path.display();
            let names = (name(&old, format!("{}/{shown}", before.name)), name(&new, format!("{}/{shown}", after.name)));
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            let diff = TextDiff::from_lines(&old, &new);
            if !text.is_empty() {
                text.push('\n');
            }
            write!(text, "{}", diff.unified_diff().header(&names.0, &names.1))?;
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
