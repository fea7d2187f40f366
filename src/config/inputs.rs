//! What a configuration is read from, with what was there: the events of a watcher are hints, this decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The SHA-256 of some content.
pub type Hash = [u8; 32];

/// Between the two readings that have to agree. Longer than a write that follows its truncation.
const SETTLE: Duration = Duration::from_millis(50);
/// How often a set that keeps changing is read before the last reading is taken as it is.
const MOST_READINGS: usize = 40;

/// Files and folders, each with the hash of a file's content or of a folder's names; none where nothing can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<PathBuf, Option<Hash>>);

impl Inputs {
    /// What is at these paths now.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let mut inputs = Self::default();
        for path in paths {
            inputs.add(path.clone());
        }
        inputs
    }

    /// What is at these paths once two readings 50 ms apart agree, so that a file caught between truncation and write
    /// is not taken for its content.
    pub async fn settled(paths: Vec<PathBuf>) -> Self {
        let mut last = Self::read_elsewhere(paths.clone()).await;
        for _ in 1..MOST_READINGS {
            tokio::time::sleep(SETTLE).await;
            let next = Self::read_elsewhere(paths.clone()).await;
            if next == last {
                break;
            }
            last = next;
        }
        last
    }

    /// Reads on a thread that may block: a file system across the network can stall for minutes.
    async fn read_elsewhere(paths: Vec<PathBuf>) -> Self {
        // None at all equals no inputs, so a reading that failed counts as a change and the load tells why.
        tokio::task::spawn_blocking(move || Self::of(&paths)).await.unwrap_or_default()
    }

    /// Adds what is at `path` now, to be called before it is read: what changes in between then differs from this and
    /// is seen, at the price of a load that finds nothing new. A path that is known keeps its first hash for the same
    /// reason.
    pub fn add(&mut self, path: PathBuf) {
        self.0.entry(path).or_insert_with_key(|path| hash(path).ok());
    }

    /// Adds those of `others` that are not known.
    pub fn extend(&mut self, others: Self) {
        for (path, hash) in others.0 {
            self.0.entry(path).or_insert(hash);
        }
    }

    /// The hash of what is at `path`; none when that is not known.
    #[must_use]
    pub fn hash_of(&self, path: &Path) -> Option<Hash> {
        self.0.get(path).copied().flatten()
    }

    /// The paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }
}

fn hash(path: &Path) -> std::io::Result<Hash> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if std::fs::metadata(path)?.is_file() {
        return Ok(Sha256::digest(std::fs::read(path)?).into());
    }
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(path)? {
        names.insert(entry?.file_name());
    }
    let mut hasher = Sha256::new();
    for name in &names {
        update(&mut hasher, name.as_encoded_bytes());
    }
    Ok(hasher.finalize().into())
}

/// Adds one part with its length before it, so that no two lists of parts hash alike.
pub(super) fn update(hasher: &mut Sha256, part: &[u8]) {
    hasher.update((part.len() as u64).to_le_bytes());
    hasher.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_a_missing_file_is_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.toml"), folder.path().to_path_buf()];
        let missing = Inputs::of(&paths);
        std::fs::write(&paths[0], "").unwrap();
        let empty = Inputs::of(&paths);
        assert_ne!(missing, empty);
        assert_ne!(Inputs::of(&paths[..1]), Inputs::of([&folder.path().join("b.toml")]));
        std::fs::write(&paths[0], "x").unwrap();
        assert_ne!(Inputs::of(&paths), empty);
        std::fs::write(&paths[0], "").unwrap();
        assert_eq!(Inputs::of(&paths), empty);
        std::fs::write(folder.path().join("b.toml"), "").unwrap();
        assert_ne!(Inputs::of(&paths), empty, "a new file in a folder that is an input");
    }

    #[test]
    fn what_is_added_again_is_what_it_was_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let mut inputs = Inputs::of([&path]);
        std::fs::write(&path, "").unwrap();
        let later = Inputs::of([&path]);
        inputs.add(path);
        inputs.extend(later.clone());
        assert_ne!(inputs, later);
    }

    #[tokio::test]
    async fn half_a_write_is_waited_out() {
        let folder = tempfile::tempdir().unwrap();
        let paths = vec![folder.path().join("a.toml")];
        std::fs::write(&paths[0], "half").unwrap();
        let writing = paths[0].clone();
        let writer = std::thread::spawn(move || {
            for text in ["half a", "half a text", "whole"] {
                std::thread::sleep(Duration::from_millis(25));
                std::fs::write(&writing, text).unwrap();
            }
        });
        let settled = Inputs::settled(paths.clone()).await;
        writer.join().unwrap();
        assert_eq!(settled, Inputs::of(&paths));
    }
}
