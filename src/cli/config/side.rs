//! One side of a comparison: a configuration as it stands, or a kept one, compiled as if it were in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::config::{self, Secrets};
use crate::reload::Generation;
use crate::snapshot::{Depth, Snapshot, compile};

/// How many folders a configuration may reach above its own.
const MOST_UP: usize = 8;
/// How often a kept configuration is loaded until all that it names is found.
const ROUNDS: usize = 3;

/// A configuration to compare or to put back.
pub(super) struct Side {
    /// How it is called.
    pub(super) name: String,
    /// The snapshot, or what is wrong.
    pub(super) snapshot: Result<Snapshot, String>,
    /// Its files by their paths from the main file's folder. Secrets in them are blanked out.
    pub(super) files: BTreeMap<PathBuf, String>,
    /// Those of them that are the configuration itself: the main file and what it includes.
    pub(super) sources: BTreeSet<PathBuf>,
    /// All that it depends on.
    inputs: Vec<PathBuf>,
    place: Place,
}

/// Where the files of a side are.
enum Place {
    /// Below the main file's folder.
    Folder(PathBuf),
    /// Where they are kept.
    Kept(Generation),
}

impl Side {
    /// The configuration whose main file is at `main`.
    pub(super) fn present(main: &Path, secrets: Secrets) -> Self {
        let loaded = config::load(main, secrets);
        let folder = main.parent().unwrap_or(Path::new(""));
        let relative = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_path_buf();
        let sources = loaded.diagnostics.sources.iter();
        let mut files: BTreeMap<_, _> =
            sources.map(|source| (relative(&source.path), source.text.to_string())).collect();
        let sources = files.keys().cloned().collect();
        let compiled = compile(loaded, Depth::Serve);
        let snapshot = compiled.snapshot.ok_or_else(|| compiled.diagnostics.to_string());
        for path in snapshot.iter().flat_map(Snapshot::files) {
            // Those of the configuration are there, without their secrets.
            if let (false, Ok(text)) = (files.contains_key(&relative(&path)), fs::read_to_string(&path)) {
                files.insert(relative(&path), text);
            }
        }
        let inputs = compiled.inputs.paths().cloned().collect();
        let place = Place::Folder(folder.to_path_buf());
        Self { name: "files".to_owned(), snapshot, files, sources, inputs, place }
    }

    /// A kept revision, compiled as if it were at `main`: with the secrets and keys that are there.
    pub(super) fn kept(generation: &Generation, main: &Path, secrets: Secrets) -> anyhow::Result<Self> {
        let folder = main.parent().unwrap_or(Path::new(""));
        let (staged, root) = stage(generation)?;
        let present = Self::present(main, secrets);
        // What the present configuration says itself is not what a kept one shall find.
        let own: BTreeSet<_> = present.files.keys().map(|path| folder.join(path)).collect();
        let mut needed: Vec<_> = present.inputs.iter().filter(|path| !own.contains(*path)).cloned().collect();
        let mut side = present;
        for _ in 0..ROUNDS {
            let links = needed.iter().filter(|path| link(path, folder, &root)).count();
            if links == 0 && side.name == generation.revision {
                break;
            }
            side = Self { name: generation.revision.clone(), ..Self::present(&root.join(&generation.main), secrets) };
            let at = |path: &PathBuf| Some(folder.join(path.strip_prefix(&root).ok()?));
            needed = side.inputs.iter().filter_map(at).filter(|path| !own.contains(path)).collect();
        }
        side.snapshot = side.snapshot.map_err(|faults| {
            let shown = folder.display().to_string();
            faults.replace(&root.display().to_string(), if shown.is_empty() { "." } else { &shown })
        });
        drop(staged);
        side.place = Place::Kept(generation.clone());
        Ok(side)
    }

    /// With errors it is not known what files it names. Those that `other` has are no other for that: they are taken as
    /// far as they are there.
    pub(super) fn complete(&mut self, other: &Self) {
        if self.snapshot.is_ok() {
            return;
        }
        for file in other.files.keys().filter(|file| !self.files.contains_key(*file)).cloned().collect::<Vec<_>>() {
            let path = match &self.place {
                Place::Folder(folder) => folder.join(&file),
                Place::Kept(generation) => generation.path(&file),
            };
            let text = if other.sources.contains(&file) { source(&path) } else { fs::read_to_string(&path).ok() };
            self.files.extend(text.map(|text| (file, text)));
        }
    }
}

/// The text of a configuration file, without its secrets.
fn source(path: &Path) -> Option<String> {
    config::load(path, Secrets::Overlook).diagnostics.sources.get(0).map(|source| source.text.to_string())
}

/// Lays the files of a generation out in a folder of their own, and returns that of its main file. It lies deep enough
/// for paths that lead upwards.
fn stage(generation: &Generation) -> anyhow::Result<(TempDir, PathBuf)> {
    let staged = tempfile::tempdir()?;
    let root = staged.path().canonicalize()?.join(["x"; MOST_UP].join("/"));
    fs::create_dir_all(&root)?;
    for file in &generation.files {
        if file.is_absolute() || climbs(file) > MOST_UP {
            bail!("{} lies too far from the main file to be looked at elsewhere", file.display());
        }
        // Folder by folder, as `a/../b` needs `a`.
        let path = root.join(file);
        create_folders(&path)?;
        fs::write(&path, generation.content(file)?).with_context(|| file.display().to_string())?;
    }
    Ok((staged, root))
}

/// Links what is at `path`, below or above `folder`, to the same place around `root`. False if nothing is missing there.
fn link(path: &Path, folder: &Path, root: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(folder) else { return false };
    let target = root.join(relative);
    if climbs(relative) > MOST_UP || !path.is_file() || target.exists() {
        return false;
    }
    let Ok(real) = path.canonicalize() else { return false };
    create_folders(&target).is_ok() && symlink(real, target).is_ok()
}

fn create_folders(path: &Path) -> std::io::Result<()> {
    let mut walked = PathBuf::new();
    for part in path.parent().into_iter().flat_map(Path::components) {
        walked.push(part);
        if part != Component::ParentDir && !walked.exists() {
            fs::create_dir(&walked)?;
        }
    }
    Ok(())
}

fn climbs(path: &Path) -> usize {
    path.components().filter(|part| *part == Component::ParentDir).count()
}
