//! `fanfare config rollback`: puts the files of a kept revision back in place.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;

use super::side::Side;
use crate::cli::print;
use crate::config::Secrets;
use crate::reload::{Generation, Generations, Label, broken_name};
use crate::snapshot::{Diff, Snapshot};

/// Files by their paths from the main file's folder, the main file first.
type Contents = Vec<(PathBuf, Vec<u8>)>;

/// Checks that the generation is what it was and, unless it was kept as broken, compiles with the secrets of today,
/// keeps what is there now, and only then touches a file. Schemas and scripts come first and the main file last, so that
/// what a server sees in between is most likely refused.
pub(super) fn rollback(generations: &Generations, to: &Generation, main: &Path) -> anyhow::Result<ExitCode> {
    let content = |file: &PathBuf| Ok((file.clone(), to.content(file).with_context(|| file.display().to_string())?));
    // Read before the oldest one, which it may be, makes way for what is kept here.
    let files = to.files.iter().map(content).collect::<anyhow::Result<Contents>>()?;
    let after = unaltered(to, &files, main)?;
    let before = Side::present(main, Secrets::Read);
    let folder = main.parent().unwrap_or(Path::new(""));
    let changes = match (&before.snapshot, &after) {
        (Ok(old), Some(new)) => Diff::between(old, new).to_lines(),
        (_, _) => String::new(),
    };
    keep_present(generations, &before, to, main).context("what is there now cannot be kept; nothing was changed")?;
    let mut written = Vec::new();
    for (file, content) in files.into_iter().rev() {
        if put(&folder.join(&file), &content, main).with_context(|| file.display().to_string())? {
            written.push(file);
        }
    }
    let mut text = changes;
    for file in written {
        writeln!(text, "wrote {}", folder.join(file).display())?;
    }
    // Only now is it known what the main file that was put back includes.
    for file in left_over(&Side::present(main, Secrets::Read), to) {
        fs::remove_file(folder.join(&file)).with_context(|| file.display().to_string())?;
        writeln!(text, "removed {}, which was not included then", folder.join(&file).display())?;
    }
    let kind = if to.is_broken() { "" } else { "revision " };
    match (Side::present(main, Secrets::Read).snapshot, after) {
        (Ok(now), Some(after)) if now.revision != after.revision => {
            bail!("{text}the files are revision {} now: somebody else has written them", now.revision)
        }
        (Err(faults), Some(_)) => bail!("{text}the files have errors now\n{faults}"),
        (_, _) => {}
    }
    writeln!(text, "{} is {kind}{} again", main.display(), to.revision)?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The revision, if the files that are kept of it are still it and a server would take it; none for what was kept as
/// broken, which only has to be what it was.
fn unaltered(to: &Generation, files: &Contents, main: &Path) -> anyhow::Result<Option<Snapshot>> {
    let after = if to.is_broken() { None } else { Some(Side::kept(to, main, Secrets::Read)?.snapshot) };
    let after = after.transpose().map_err(|faults| {
        anyhow!("revision {} is not one that a server would take now; nothing was changed\n{faults}", to.revision)
    })?;
    let kept = after.as_ref().map_or_else(|| broken_name(files), |snapshot| snapshot.revision.to_string());
    if kept != to.revision {
        bail!("what is kept of {} is now {kept}; nothing was changed", to.revision);
    }
    Ok(after)
}

/// Keeps what is there now, so that a rollback can be undone: also what has errors, and then what `to` would replace.
fn keep_present(generations: &Generations, before: &Side, to: &Generation, main: &Path) -> anyhow::Result<()> {
    let folder = main.parent().unwrap_or(Path::new(""));
    let (revision, files) = match &before.snapshot {
        Ok(snapshot) => (snapshot.revision.to_string(), snapshot.files()),
        Err(_) => {
            // What the configuration would name besides is not known, and neither are its secrets.
            let paths: BTreeSet<_> = before.files.keys().chain(&to.files).map(|path| folder.join(path)).collect();
            let others = paths.into_iter().filter(|path| path != main);
            let files = std::iter::once(main.to_path_buf()).chain(others).filter(|path| path.is_file());
            let files: Vec<PathBuf> = files.collect();
            let content = |path: &PathBuf| {
                let content = fs::read(path).with_context(|| path.display().to_string())?;
                Ok((path.strip_prefix(folder).unwrap_or(path).to_path_buf(), content))
            };
            (broken_name(&files.iter().map(content).collect::<anyhow::Result<Contents>>()?), files)
        }
    };
    if files.first().is_none_or(|first| first != main) {
        return Ok(()); // Without a main file there is nothing to keep.
    }
    let changes = Some("before a rollback".to_owned());
    let label = Label { revision, taken_at: Timestamp::now(), trigger: "rollback", changes };
    generations.keep(label, &files, |_| None)?;
    Ok(())
}

/// Files of the configuration itself that the generation does not have: they are included all the same. Schemas and
/// scripts that nothing names do no harm.
fn left_over(now: &Side, to: &Generation) -> Vec<PathBuf> {
    now.sources.iter().filter(|path| !to.files.contains(path)).cloned().collect()
}

/// Replaces a file in one step, unless it has that content. Where it is a link, what it leads to is replaced. A server
/// that could read the file, or the main file beside a new one, can still.
fn put(path: &Path, content: &[u8], main: &Path) -> anyhow::Result<bool> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(false);
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(content)?;
    if let Ok(known) = fs::metadata(&path).or_else(|_| fs::metadata(main)) {
        new.as_file().set_permissions(known.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(true)
}
