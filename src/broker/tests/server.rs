//! A real Redis server of a test's own.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;

/// A server process. It ends with this value.
pub(super) struct Server {
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts a server that persists nothing unless the arguments say so.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let process = spawn(port, &directory, &arguments);
        let server = Self { port, directory, arguments, process };
        server.answers().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn port(&self) -> String {
        self.port.to_string()
    }

    /// Ends the process at once, as a crash would.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops the process: its connections stand, and it answers nothing.
    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Starts it again where it was.
    pub(super) async fn restart(&mut self) {
        self.process = spawn(self.port, &self.directory, &self.arguments);
        self.answers().await;
    }

    /// Runs a command given as words.
    pub(super) async fn run(&self, command: &str) -> Value {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.run_words(&words).await
    }

    /// Runs a command.
    pub(super) async fn run_words(&self, words: &[&[u8]]) -> Value {
        self.try_run(words).await.unwrap()
    }

    /// Runs a command that reads, on a replica in a cluster.
    pub(super) async fn run_readonly(&self, command: &str) -> Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("READONLY").exec_async(&mut connection).await.unwrap();
        let mut words = redis::Cmd::new();
        words.arg(command.split(' ').collect::<Vec<_>>());
        words.query_async(&mut connection).await.unwrap()
    }

    /// Puts bytes under the next number of a channel's normal lane, as a server of another release would.
    pub(super) async fn store_foreign(&self, channel: &str, seq: u64, record: &[u8]) {
        let [records, meta] = ["n", "m"].map(|key| format!("test:{{{channel}}}:{key}"));
        let record = [format!("{seq}-99999999999999 ").as_bytes(), record].concat();
        self.run_words(&[b"RPUSH", records.as_bytes(), &record]).await;
        let before: String = redis::from_redis_value(self.run(&format!("GET {meta}")).await).unwrap();
        let mut words: Vec<_> = before.split('|').collect();
        let seq = seq.to_string();
        words[3] = &seq;
        self.run(&format!("SET {meta} {} KEEPTTL", words.join("|"))).await;
    }

    pub(super) async fn try_run(&self, words: &[&[u8]]) -> redis::RedisResult<Value> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    async fn answers(&self) {
        for _ in 0..500 {
            if self.try_run(&[b"PING"]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server on port {} does not answer", self.port);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, directory: &TempDir, arguments: &Vec<String>) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("these tests need `redis-server` 7 in the PATH, as from `apt-get install redis-server`")
}
