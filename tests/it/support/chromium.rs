//! A real browser without a screen.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A Chromium that has opened one page. It ends with this value, and its profile goes away.
pub(crate) struct Chromium {
    process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Opens `url`. The page tells the scenario what it sees; nothing reads the browser itself.
    pub(crate) fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium is not in the PATH: install it with `apt-get install chromium`, or run tests/run");
        Self { process, _profile: profile }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Asked to end, it takes its helper processes along; killed, it would leave them.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        for _ in 0..100 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
