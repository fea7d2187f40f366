//! A server for the run: this program as another process, so that what it uses can be told from what the load costs.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::process::Process;
use super::target::Plan;
use crate::auth::generate_key;
use crate::notification::Name;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// The producer's name.
const PRODUCER: &str = "bench";
/// One type, one rule, one channel for each `userId`. Rings and history hold more than publishers may be ahead.
const CONFIG: &str = include_str!("server.toml");
const SCHEMA: &str =
    r#"{"type": "object", "required": ["type", "userId"], "properties": {"type": {"const": "bench"}}}"#;

/// A running server. It ends with this value.
#[derive(Debug)]
pub(super) struct OwnServer {
    child: Child,
    url: String,
    key: String,
    /// Its configuration and its log.
    _folder: TempDir,
}

impl OwnServer {
    /// Starts a server that takes so many connections, with the broker in memory and at ports that are free.
    pub(super) async fn start(connections: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = |name: &str| folder.path().join(name);
        let key = generate_key(&PRODUCER.parse::<Name>()?);
        fs::create_dir(file("schemas"))?;
        fs::write(file("schemas/bench.json"), SCHEMA)?;
        fs::write(file("bench.sha256"), &key.sha256)?;
        fs::write(file("fanfare.toml"), CONFIG.replace("10_000 # connections", &connections.to_string()))?;
        let log = file("log");
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(file("fanfare.toml")).env("FANFARE_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn().context("the server cannot be started")?;
        let key = key.text.expose().to_owned();
        let mut server = Self { child, url: String::new(), key, _folder: folder };
        server.url = server.wait_for_address(log).await?;
        tracing::info!("a server of its own runs at {}, as process {}", server.url, server.child.id());
        Ok(server)
    }

    /// What it logs when it serves, as it alone knows its port.
    async fn wait_for_address(&mut self, log: PathBuf) -> anyhow::Result<String> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(&log)?;
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(address) = lines.filter_map(|line| line["listen"].as_str().map(str::to_owned)).next() {
                return Ok(format!("http://{address}"));
            }
            if self.child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                bail!("the server does not start\n{text}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// What is published to it.
    pub(super) fn plan(&self) -> Plan<'_> {
        Plan {
            url: &self.url,
            channel: "bench.{i}",
            body: r#"{"type":"bench","userId":"{i}","title":"{mark}","data":{"pad":"{pad}"}}"#,
            producer: Some(self.key.clone()),
            subscribers: Vec::new(),
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It holds nothing that is worth an orderly end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
