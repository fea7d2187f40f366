//! Tells when the input files may have changed: folder events as hints, and a poll that needs none.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Inputs;

/// Without events for this long, a burst of them is over.
const QUIET: Duration = Duration::from_millis(250);
/// A burst that does not end is told after this long all the same.
const LONGEST_BURST: Duration = Duration::from_secs(2);
/// As many symbolic links as Linux follows in one path.
const MOST_LINKS: usize = 40;

/// Watches the folders of a set of input files.
///
/// Folders and not files, as an editor and a ConfigMap put a new file in the place of the old one, and a watch
/// stays with the old. What it tells is only a hint: the caller compares contents. Where no events come, as on
/// network file systems and single-file mounts, the poll alone finds the change.
pub struct Watcher {
    events: Option<RecommendedWatcher>,
    hint: Arc<Notify>,
    inputs: Vec<PathBuf>,
    folders: BTreeSet<PathBuf>,
    poll: Duration,
    next_poll: Instant,
    burst: Option<Instant>,
    warned: bool,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("inputs", &self.inputs).field("poll", &self.poll).finish_non_exhaustive()
    }
}

impl Watcher {
    /// How often [`Watcher::changed`] returns without any event, unless a test says otherwise.
    pub const POLL: Duration = Duration::from_secs(5);

    /// Watches nothing yet, and polls every `poll`.
    #[must_use]
    pub fn new(poll: Duration) -> Self {
        let hint = Arc::new(Notify::new());
        let told = Arc::clone(&hint);
        let mut watcher = Self {
            events: None,
            hint,
            inputs: Vec::new(),
            folders: BTreeSet::new(),
            poll,
            next_poll: Instant::now() + poll,
            burst: None,
            warned: false,
        };
        match notify::recommended_watcher(move |event| on_event(event, &told)) {
            Ok(events) => watcher.events = Some(events),
            Err(error) => watcher.warn_once(&error),
        }
        watcher
    }

    /// Watches these inputs from now on, and no others.
    pub fn watch(&mut self, inputs: &Inputs) {
        self.inputs = inputs.paths().cloned().collect();
        self.rearm();
    }

    /// Makes the next [`Watcher::changed`] return as after an event. What changed before the watch began brings none.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Waits until the inputs may have changed: a burst of events is over, or the poll interval is. It may be
    /// dropped and called again without losing a hint.
    pub async fn changed(&mut self) {
        if self.burst.is_none() && timeout_at(self.next_poll, self.hint.notified()).await.is_ok() {
            self.burst = Some(Instant::now());
        }
        if let Some(began) = self.burst {
            let longest = began + LONGEST_BURST;
            while Instant::now() < longest {
                let quiet = longest.min(Instant::now() + QUIET);
                if timeout_at(quiet, self.hint.notified()).await.is_err() {
                    break;
                }
            }
            self.burst = None;
        }
        self.next_poll = Instant::now() + self.poll;
        // A folder that was replaced has lost its watch, and a link may lead elsewhere by now.
        self.rearm();
    }

    fn rearm(&mut self) {
        let folders: BTreeSet<_> = self.inputs.iter().flat_map(|input| folders(input)).collect();
        for gone in self.folders.difference(&folders) {
            if let Some(events) = &mut self.events {
                // A folder that no longer exists is no longer watched either, which is all that is wanted.
                let _ = events.unwatch(gone);
            }
        }
        for folder in &folders {
            let watched = self.events.as_mut().map(|events| events.watch(folder, RecursiveMode::NonRecursive));
            if let Some(Err(error)) = watched {
                self.warn_once(&error);
            }
        }
        self.folders = folders;
    }

    fn warn_once(&mut self, error: &notify::Error) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(%error, poll = ?self.poll, "configuration is polled, as watching it failed: {error}");
        }
    }
}

/// Everything is a hint, also a lost event or an error, except access: our own reading would wake us for ever.
fn on_event(event: notify::Result<notify::Event>, hint: &Notify) {
    if !event.is_ok_and(|event| event.kind.is_access()) {
        hint.notify_one();
    }
}

/// Where a change of what `input` names can be seen: the folder it is in, itself if it is one, and the folder of
/// every symbolic link on the way. A ConfigMap is changed by retargeting `..data`, two links away from the file.
fn folders(input: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut path = input.to_path_buf();
    for _ in 0..MOST_LINKS {
        folders.insert(nearest_folder(if path.is_dir() { &path } else { parent(&path) }));
        match follow_first_link(&path) {
            Some((link, target)) => {
                folders.insert(nearest_folder(parent(&link)));
                path = target;
            }
            None => break,
        }
    }
    folders
}

/// The first symbolic link on the way to `path`, and the path with that link followed.
fn follow_first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut walked = PathBuf::new();
    let mut rest = path.components();
    while let Some(component) = rest.next() {
        walked.push(component);
        if let (Component::Normal(_), Ok(target)) = (component, std::fs::read_link(&walked)) {
            let followed = parent(&walked).join(target).join(rest.as_path());
            return Some((walked, followed));
        }
    }
    None
}

/// The folder that `path` is in, by its name alone.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// `folder`, or the closest above it that exists: there its creation will be seen.
fn nearest_folder(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Polls so rarely that what a test sees in time has come from an event.
    const NEVER: Duration = Duration::from_secs(3600);

    /// Whether a hint comes, with time for a busy machine.
    async fn is_told(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await.is_ok()
    }

    fn watched(input: &Path) -> Watcher {
        let mut watcher = Watcher::new(NEVER);
        watcher.watch(&Inputs::of([&input.to_path_buf()]));
        watcher
    }

    #[tokio::test]
    async fn saving_is_seen_however_an_editor_does_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fanfare.toml");
        fs::write(&file, "one").unwrap();
        let mut watcher = watched(&file);
        for round in 0..2 {
            let new = folder.path().join(".fanfare.toml.swp");
            fs::write(&new, "two").unwrap();
            fs::rename(&new, &file).unwrap();
            assert!(is_told(&mut watcher).await, "renamed over, round {round}");
            fs::write(&file, "three").unwrap();
            assert!(is_told(&mut watcher).await, "truncated and written, round {round}");
            fs::remove_file(&file).unwrap();
            assert!(is_told(&mut watcher).await, "deleted, round {round}");
            fs::write(&file, "four").unwrap();
            assert!(is_told(&mut watcher).await, "created again, round {round}");
        }
    }

    #[tokio::test]
    async fn a_config_map_that_swaps_its_data_link_is_seen_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("fanfare.toml"), version).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/fanfare.toml", at("fanfare.toml")).unwrap();
        let mut watcher = watched(&at("fanfare.toml"));
        for version in ["..2", "..1"] {
            symlink(version, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
            assert!(is_told(&mut watcher).await, "swapped to {version}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_watched_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("conf.d");
        let mut watcher = watched(&folder.join("a.toml"));
        for round in 0..2 {
            fs::create_dir(&folder).unwrap();
            assert!(is_told(&mut watcher).await, "folder created, round {round}");
            fs::write(folder.join("a.toml"), "").unwrap();
            assert!(is_told(&mut watcher).await, "file created in it, round {round}");
            fs::remove_dir_all(&folder).unwrap();
            assert!(is_told(&mut watcher).await, "folder deleted, round {round}");
        }
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fanfare.toml");
        fs::write(&file, "one").unwrap();
        let mut watcher = watched(&file);
        fs::read(&file).unwrap();
        fs::read_dir(folder.path()).unwrap().for_each(drop);
        assert!(tokio::time::timeout(4 * QUIET, watcher.changed()).await.is_err());
    }

    #[tokio::test]
    async fn without_events_the_poll_tells() {
        let mut watcher = Watcher::new(Duration::from_millis(20));
        assert!(is_told(&mut watcher).await);
        assert!(is_told(&mut watcher).await);
    }

    #[tokio::test]
    async fn a_burst_without_end_is_told_after_its_longest_time() {
        let mut watcher = Watcher::new(NEVER);
        let hint = Arc::clone(&watcher.hint);
        let began = Instant::now();
        let storm = async {
            loop {
                hint.notify_one();
                tokio::time::sleep(QUIET / 5).await;
            }
        };
        tokio::select! {
            () = watcher.changed() => assert!(began.elapsed() >= LONGEST_BURST),
            () = storm => {}
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_no_hint() {
        let mut watcher = Watcher::new(NEVER);
        watcher.hint.notify_one();
        assert!(tokio::time::timeout(QUIET / 5, watcher.changed()).await.is_err());
        assert!(is_told(&mut watcher).await);
    }
}
