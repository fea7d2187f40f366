//! A real Redis server of a scenario's own, which can die and come back.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Value};
use tempfile::TempDir;

/// How long a busy machine may take to connect or to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server process. It ends with this value.
pub(crate) struct Redis {
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    process: Child,
}

impl Redis {
    /// A server that keeps what it has acknowledged, whatever happens to it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with further arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        // Another process may take a port between its choice and its use.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let process = spawn(port, &folder, &arguments);
            let mut redis = Self { port, folder, arguments: arguments.clone(), process };
            if redis.answers().await {
                return redis;
            }
        }
        panic!("redis-server does not start: install it with `apt-get install redis-server`, or run tests/run");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, where it was and with what it had.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.port, &self.folder, &self.arguments);
        assert!(self.answers().await, "redis-server does not come back");
    }

    /// Takes away all that a server which is not running has kept.
    pub(crate) fn wipe(&self) {
        let _ = fs::remove_dir_all(self.folder.path().join("appendonlydir"));
    }

    /// Takes the end of its log away from a server that is not running, as a loss of power does.
    pub(crate) fn truncate(&self, bytes: u64) {
        let log = self.log();
        let length = log.metadata().unwrap().len();
        File::options().write(true).open(log).unwrap().set_len(length.saturating_sub(bytes)).unwrap();
    }

    /// Gives it no more room on its disk.
    pub(crate) fn fill_disk(&self) {
        self.limit_files(&self.log().metadata().unwrap().len().to_string());
    }

    /// Gives it as much as there is.
    pub(crate) fn free_disk(&self) {
        self.limit_files("unlimited");
    }

    fn limit_files(&self, soft: &str) {
        let mut limit = Command::new("prlimit");
        limit.arg("--pid").arg(self.process.id().to_string()).arg(format!("--fsize={soft}:unlimited"));
        // One that has ended has no limits.
        let _ = limit.stderr(Stdio::null()).status().unwrap();
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Whether `INFO` says that.
    pub(crate) async fn says(&self, line: &str) -> bool {
        let told = self.try_run("INFO all").await.and_then(|told| Ok(redis::from_redis_value::<String>(told)?));
        told.is_ok_and(|told| told.lines().any(|one| one == line))
    }

    /// The file that what is written now is appended to.
    fn log(&self) -> PathBuf {
        let files = fs::read_dir(self.folder.path().join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
            .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
            .unwrap()
    }

    /// Freezes the process: its connections stand, and it answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Ends subscribers that have more than `bytes` to take.
    pub(crate) async fn limit_feeds(&self, bytes: usize) {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("client-output-buffer-limit").arg(format!("pubsub {bytes} 0 0"));
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        set.exec_async(&mut connection).await.unwrap();
    }

    /// Runs a command given as words.
    pub(crate) async fn run(&self, command: &str) -> Value {
        self.try_run(command).await.unwrap()
    }

    pub(crate) async fn try_run(&self, command: &str) -> redis::RedisResult<Value> {
        self.try_words(&command.split(' ').collect::<Vec<_>>()).await
    }

    async fn try_words(&self, words: &[&str]) -> redis::RedisResult<Value> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    /// Puts another word into a channel's meta key: 1 is the epoch, 3 the top of the normal lane. Returns what it was.
    pub(crate) async fn edit_meta(&self, channel: &str, word: usize, value: &str) -> String {
        let key = format!("fanfare:{{{channel}}}:m");
        let meta: String = redis::from_redis_value(self.run(&format!("GET {key}")).await).unwrap();
        let mut words: Vec<_> = meta.split('|').collect();
        let before = std::mem::replace(&mut words[word], value).to_owned();
        self.run(&format!("SET {key} {} KEEPTTL", words.join("|"))).await;
        before
    }

    /// Puts text under the next number of a channel's normal lane, as a server of another release would.
    pub(crate) async fn store_foreign(&self, channel: &str, seq: u64, record: &str) {
        let (key, record) = (format!("fanfare:{{{channel}}}:n"), format!("{seq}-99999999999999 {record}"));
        self.try_words(&["RPUSH", &key, &record]).await.unwrap();
        self.edit_meta(channel, 3, &seq.to_string()).await;
    }

    /// Stores the newest record of a channel's normal lane once more, under the number `seq` that is next, and tells
    /// nobody: a publication that is lost on its way.
    pub(crate) async fn store_unheard(&self, channel: &str, seq: u64) {
        let key = format!("fanfare:{{{channel}}}:n");
        let newest: String = redis::from_redis_value(self.run(&format!("LINDEX {key} -1")).await).unwrap();
        let (_, record) = newest.split_once(' ').unwrap();
        self.store_foreign(channel, seq, record).await;
    }

    /// How often it was asked to run a command.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let stats: String = redis::from_redis_value(self.run("INFO commandstats").await).unwrap();
        let line = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|stat| stat.strip_prefix(&line)?.split(',').next()?.parse().ok());
        calls.unwrap_or_default()
    }

    /// Whether the process lives and answers.
    async fn answers(&mut self) -> bool {
        for _ in 0..500 {
            if self.try_run("PING").await.is_ok() {
                // Somebody else's server may have answered.
                return self.process.try_wait().unwrap().is_none();
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, folder: &TempDir, arguments: &[String]) -> Child {
    // A file that may not grow is to be a failed write, as on a full disk, and no signal.
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec redis-server \"$@\"", "redis-server"])
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
