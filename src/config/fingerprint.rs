//! What the input files hold, as one hash: the events of a watcher are hints, this decides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A SHA-256 over a set of files and folders.
pub type Fingerprint = [u8; 32];

/// Between the two readings that have to agree. Longer than a write that follows its truncation.
const SETTLE: Duration = Duration::from_millis(50);
/// How often a set that keeps changing is read before the last reading is taken as it is.
const MOST_READINGS: usize = 40;

/// Hashes every path with what is there: a file's content, a folder's names, or that it is missing. Order and
/// repetition of `paths` do not matter.
#[must_use]
pub fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut hasher = Sha256::new();
    for path in paths.iter().collect::<BTreeSet<_>>() {
        update(&mut hasher, path.as_os_str().as_encoded_bytes());
        match content(path) {
            Ok(content) => update(&mut hasher, &content),
            // A length that no content has keeps "missing" apart from every text.
            Err(_) => hasher.update(u64::MAX.to_le_bytes()),
        }
    }
    hasher.finalize().into()
}

/// The fingerprint of a set that two readings 50 ms apart agree about, so that a file caught between truncation
/// and write is not taken for its content.
pub async fn stable_fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut last = fingerprint_elsewhere(paths).await;
    for _ in 1..MOST_READINGS {
        tokio::time::sleep(SETTLE).await;
        let next = fingerprint_elsewhere(paths).await;
        if next == last {
            break;
        }
        last = next;
    }
    last
}

/// Reads on a thread that may block: a file system across the network can stall for minutes.
async fn fingerprint_elsewhere(paths: &[PathBuf]) -> Fingerprint {
    let paths = paths.to_vec();
    // Zeroes equal no fingerprint, so a reading that failed counts as a change and the load tells why.
    tokio::task::spawn_blocking(move || fingerprint(&paths)).await.unwrap_or_default()
}

fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        return std::fs::read(path);
    }
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(path)? {
        names.insert(entry?.file_name());
    }
    // No file name holds a slash, so joined names are unambiguous.
    Ok(names.iter().flat_map(|name| [name.as_encoded_bytes(), b"/"].concat()).collect())
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
        let missing = fingerprint(&paths);
        std::fs::write(&paths[0], "").unwrap();
        let empty = fingerprint(&paths);
        assert_ne!(missing, empty);
        assert_ne!(fingerprint(&paths[..1]), fingerprint(&[folder.path().join("b.toml")]));
        std::fs::write(&paths[0], "x").unwrap();
        assert_ne!(fingerprint(&paths), empty);
        std::fs::write(&paths[0], "").unwrap();
        assert_eq!(fingerprint(&paths), empty);
        std::fs::write(folder.path().join("b.toml"), "").unwrap();
        assert_ne!(fingerprint(&paths), empty, "a new file in a folder that is an input");
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
        let settled = stable_fingerprint(&paths).await;
        writer.join().unwrap();
        assert_eq!(settled, fingerprint(&paths));
    }
}
