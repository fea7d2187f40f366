//! A primary, a replica of it, and Sentinels that watch over both.

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Redis, eventually};

/// What the Sentinels call the primary.
const NAME: &str = "main";
const SENTINELS: usize = 3;

/// All of them. They end with this value.
pub(crate) struct Guarded {
    pub(crate) primary: Redis,
    pub(crate) replica: Redis,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Guarded {
    /// Starts them, and waits until each Sentinel knows the others and the replica.
    pub(crate) async fn start() -> Self {
        let (primary, replica) = (Redis::start().await, Redis::start().await);
        primary.run("CONFIG SET repl-diskless-sync-delay 0").await;
        let place = primary.url().replace("redis://", "").replace(':', " ");
        replica.run(&format!("REPLICAOF {place}")).await;
        eventually("the replica follows", async || replica.says("master_link_status:up").await).await;
        let sentinels: Vec<_> = (0..SENTINELS).map(|_| Sentinel::start(&place)).collect();
        for sentinel in &sentinels {
            eventually("the sentinel knows everybody", async || sentinel.knows_everybody().await).await;
        }
        Self { primary, replica, sentinels }
    }

    /// Starts the primary again, which was killed, and waits until it follows the one that took over and every Sentinel
    /// could let it take over in turn. They change their names.
    pub(crate) async fn bring_back_primary(&mut self) {
        self.primary.restart().await;
        eventually("it follows", async || self.primary.says("master_link_status:up").await).await;
        std::mem::swap(&mut self.primary, &mut self.replica);
        for sentinel in &self.sentinels {
            eventually("the sentinel knows everybody", async || sentinel.knows_everybody().await).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let places: Vec<_> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{NAME}", places.join(","))
    }
}

impl Sentinel {
    fn start(primary: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} {primary} 2\n\
             sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n",
            folder.path().display()
        );
        fs::write(&file, text).unwrap();
        let process = Command::new("redis-server").arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self { port, process, _folder: folder }
    }

    async fn knows_everybody(&self) -> bool {
        let facts = self.facts().await.unwrap_or_default();
        let is = |key: &str, value: &str| facts.get(key).is_some_and(|known| known == value);
        is("num-other-sentinels", "2") && is("num-slaves", "1") && is("flags", "master")
    }

    async fn facts(&self) -> redis::RedisResult<HashMap<String, String>> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("SENTINEL").arg("MASTER").arg(NAME).query_async(&mut connection).await
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
