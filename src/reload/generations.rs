//! The last accepted revisions, kept on disk: what `fanfare config` lists, compares and goes back to.
//!
//! Each is a folder, `<time>-<revision>`, with `generation.json` and below `files` a copy of every file that the
//! revision is the hash of. It appears whole or not at all, and only its owner can read it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::Hash;

/// How many are kept.
const MOST: usize = 20;
const META: &str = "generation.json";
const FILES: &str = "files";
/// What the name of a generation that has errors begins with. No revision does.
const BROKEN: &str = "broken-";

/// What is known of a kept revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The revision.
    pub revision: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Why.
    pub trigger: String,
    /// What was other than before, in counts.
    pub changes: String,
    /// The main file's name.
    pub main: String,
    /// Its files, each relative to the folder of the main file.
    pub files: Vec<PathBuf>,
    /// Where it is.
    #[serde(skip)]
    folder: PathBuf,
}

/// What tells a generation from others, to be kept with its files.
#[derive(Debug, Clone)]
pub struct Label {
    /// The revision.
    pub revision: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Why.
    pub trigger: &'static str,
    /// What was other than before, in counts; none where nothing is known of before, and so the files must tell.
    pub changes: Option<String>,
}

/// The folder of generations.
#[derive(Debug, Clone)]
pub struct Generations(PathBuf);

impl Generations {
    /// Those that are, or will be, in `folder`.
    #[must_use]
    pub fn within(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Every generation, the newest first. What cannot be read as one is left out.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn list(&self) -> io::Result<Vec<Generation>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            found.extend(Generation::read(&entry?.path()));
        }
        found.sort_by_key(|generation| std::cmp::Reverse(generation.taken_at));
        Ok(found)
    }

    /// Keeps `files`, the first of which is the main one, and forgets the oldest beyond the number that is kept. False
    /// when the newest is this revision already. `expected` is what a file's content must hash to, where that is known.
    ///
    /// # Errors
    /// A file cannot be copied, or is no longer what it was: then a later revision is on its way.
    pub fn keep(&self, label: Label, files: &[PathBuf], expected: impl Fn(&Path) -> Option<Hash>) -> io::Result<bool> {
        let kept = self.list()?;
        if kept.first().is_some_and(|newest| newest.revision == label.revision) {
            return Ok(false);
        }
        let main = files.first().ok_or_else(|| io::Error::other("there is no file"))?;
        let folder = main.parent().unwrap_or(Path::new(""));
        private_folder(&self.0)?;
        let new =
            tempfile::Builder::new().prefix(".new-").permissions(Permissions::from_mode(0o700)).tempdir_in(&self.0)?;
        let mut contents = Vec::new();
        for file in files {
            let content = fs::read(file)?;
            if expected(file).is_some_and(|hash| hash != <[u8; 32]>::from(Sha256::digest(&content))) {
                return Err(io::Error::other(format!("{} has changed since it was read", file.display())));
            }
            let path = file.strip_prefix(folder).unwrap_or(file);
            write_private(&new.path().join(FILES).join(stored(path)), &content)?;
            contents.push((path.to_path_buf(), content));
        }
        let Label { revision, taken_at, trigger, changes } = label;
        let changes = changes.unwrap_or_else(|| since(kept.iter().find(|kept| !kept.is_broken()), &contents));
        // Sorted by name they are sorted by time; no colon, which some file systems refuse.
        let name = format!("{}-{revision}", taken_at.strftime("%Y%m%dT%H%M%S%.6fZ"));
        let main = main.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (trigger, folder) = (trigger.to_owned(), self.0.join(&name));
        let files = contents.into_iter().map(|(path, _)| path).collect();
        let meta = Generation { revision, taken_at, trigger, changes, main, files, folder };
        write_private(&new.path().join(META), &serde_json::to_vec_pretty(&meta)?)?;
        fs::rename(new.path(), &meta.folder)?;
        // It is no longer where it would be removed from.
        let _ = new.keep();
        for old in kept.iter().skip(MOST - 1) {
            fs::remove_dir_all(&old.folder)?;
        }
        Ok(true)
    }
}

/// How many files are other than in `earlier`, in the way of a diff.
fn since(earlier: Option<&Generation>, now: &[(PathBuf, Vec<u8>)]) -> String {
    let Some(earlier) = earlier else { return "the first that is kept".to_owned() };
    let (both, added): (Vec<_>, Vec<_>) = now.iter().partition(|(path, _)| earlier.files.contains(path));
    let is_other = |(path, content): &&(PathBuf, Vec<u8>)| earlier.content(path).ok().as_ref() != Some(content);
    let counts =
        [('+', added.len()), ('-', earlier.files.len() - both.len()), ('~', both.into_iter().filter(is_other).count())];
    let told = counts.iter().filter(|(_, count)| *count > 0).map(|(sign, count)| format!(" {sign}{count}"));
    format!("files{} since {}", told.collect::<String>(), earlier.revision)
}

/// What files with errors are kept under, as they are no revision: the start of the hash of each path and content.
#[must_use]
pub fn broken_name(files: &[(PathBuf, Vec<u8>)]) -> String {
    let mut hasher = Sha256::new();
    for (path, content) in files {
        for part in [path.as_os_str().as_encoded_bytes(), content] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    let hash = hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{BROKEN}{hash}")
}

impl Generation {
    /// Whether it was kept with errors, for a rollback to be undone: then no server took it, and its name is that of
    /// [`broken_name`].
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.revision.starts_with(BROKEN)
    }

    fn read(folder: &Path) -> Option<Self> {
        // A hidden one is being written, or was when its writer died.
        if folder.file_name()?.as_encoded_bytes().starts_with(b".") {
            return None;
        }
        let meta: Self = serde_json::from_slice(&fs::read(folder.join(META)).ok()?).ok()?;
        Some(Self { folder: folder.to_path_buf(), ..meta })
    }

    /// The content of one of its files.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self, file: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.path(file))
    }

    /// Where the copy of one of its files is.
    #[must_use]
    pub fn path(&self, file: &Path) -> PathBuf {
        self.folder.join(FILES).join(stored(file))
    }
}

/// Where a file is kept: no part of its path leads out of the generation.
fn stored(path: &Path) -> PathBuf {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("@up")),
        Component::RootDir => Some(PathBuf::from("@root")),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).collect()
}

fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file that its owner alone can read, also under a generous umask: the text may hold a secret.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    private_folder(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    // A generation that a power cut leaves empty would be none.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(number: usize) -> Label {
        let taken_at = Timestamp::from_second(1_000_000 + number as i64).unwrap();
        Label { revision: format!("r{number}"), taken_at, trigger: "change", changes: Some("rules +1".to_owned()) }
    }

    #[test]
    fn the_last_ones_are_kept_whole_and_private() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("config")).unwrap();
        fs::create_dir(at("schemas")).unwrap();
        let files = [at("config/fanfare.toml"), at("config/../schemas/a.json")];
        let generations = Generations::within(at("state/generations"));
        assert_eq!(generations.list().unwrap(), []);
        for number in 0..MOST + 5 {
            fs::write(&files[0], format!("number = {number}")).unwrap();
            fs::write(&files[1], "{}").unwrap();
            assert!(generations.keep(label(number), &files, |_| None).unwrap());
            assert!(!generations.keep(label(number), &files, |_| None).unwrap(), "twice");
        }
        let kept = generations.list().unwrap();
        assert_eq!(kept.len(), MOST);
        assert_eq!((&*kept[0].revision, &*kept[MOST - 1].revision), ("r24", "r5"));
        assert_eq!(kept[0].files, [Path::new("fanfare.toml"), Path::new("../schemas/a.json")]);
        assert_eq!(kept[3].content(Path::new("fanfare.toml")).unwrap(), b"number = 21");
        assert_eq!(kept[3].content(Path::new("../schemas/a.json")).unwrap(), b"{}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept[0].folder), 0o700);
        assert_eq!(mode(&kept[0].folder.join("files/fanfare.toml")), 0o600);
        assert_eq!(mode(&kept[0].folder.join("files/@up/schemas/a.json")), 0o600);
    }

    #[test]
    fn what_was_other_before_is_told_by_the_files_where_nothing_else_tells() {
        let root = tempfile::tempdir().unwrap();
        let files = ["fanfare.toml", "a.json", "b.json"].map(|name| root.path().join(name));
        let generations = Generations::within(root.path().join("generations"));
        let keep = |label: Label, files: &[PathBuf]| {
            generations.keep(Label { changes: None, ..label }, files, |_| None).unwrap();
            generations.list().unwrap()[0].changes.clone()
        };
        files.iter().for_each(|file| fs::write(file, "1").unwrap());
        assert_eq!(keep(label(1), &files[..2]), "the first that is kept");
        fs::write(&files[0], "2").unwrap();
        assert_eq!(keep(label(2), &files), "files +1 ~1 since r1");
        let broken = Label { revision: "broken-1".to_owned(), ..label(3) };
        assert_eq!(keep(broken, &files[..1]), "files -2 since r2");
        assert_eq!(keep(label(4), &files[..2]), "files -1 since r2");
    }

    #[test]
    fn what_is_not_what_was_taken_is_not_kept_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("fanfare.toml");
        fs::write(&file, "later").unwrap();
        let generations = Generations::within(root.path().join("generations"));
        let taken = <[u8; 32]>::from(Sha256::digest(b"earlier"));
        let error = generations.keep(label(1), std::slice::from_ref(&file), |_| Some(taken)).unwrap_err();
        assert!(error.to_string().contains("has changed"), "{error}");
        assert_eq!(fs::read_dir(root.path().join("generations")).unwrap().count(), 0);
        assert!(generations.keep(label(1), &[root.path().join("none")], |_| None).is_err());
    }
}
