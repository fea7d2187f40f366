//! A look at a server before it is used: whether it can be, and which of its settings lose messages.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Value};

use super::keys::Keys;
use super::seal::Seal;
use super::slots::Topology;
use crate::config::{self, Durability};

/// The first release with what the scripts need.
const OLDEST: u32 = 7;
/// Less than this, which is what Redis sets by itself, and a pause of a node costs it its connection. Hard and soft.
const BUFFERS: [u64; 2] = [32 * 1024 * 1024, 8 * 1024 * 1024];
/// Says which calls the user may not make, of lists that are each as long as they say.
const MAY_NOT: &str = "local denied, at = {}, 1
while at <= #ARGV do
  local call = { unpack(ARGV, at + 1, at + ARGV[at]) }
  if not redis.acl_check_cmd(unpack(call)) then
    denied[#denied + 1] = call[1] == 'cluster' and 'cluster|' .. call[2] or call[1]
  end
  at = at + 1 + ARGV[at]
end
return denied";
/// What is called outside the scripts: without a key, on a key, and on a pub/sub channel.
const BARE_CALLS: &[&str] = &["INFO", "TIME"];
const KEY_CALLS: &[&str] = &["GET", "LLEN", "SET"];
/// With one server: of pub/sub, and otherwise.
const SINGLE_PUBSUB_CALLS: &[&str] = &["PUBLISH", "SUBSCRIBE"];
const SINGLE_CALLS: &[&[&str]] = &[&["UNSUBSCRIBE"]];
/// In a cluster.
const CLUSTER_PUBSUB_CALLS: &[&str] = &["SPUBLISH", "SSUBSCRIBE"];
const CLUSTER_CALLS: &[&[&str]] = &[&["SUNSUBSCRIBE"], &["ASKING"], &["CLUSTER", "info"], &["CLUSTER", "slots"]];
const SCRIPT_CALLS: &[&str] = &["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"];

const SETTINGS: &[&str] = &[
    "save",
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "client-output-buffer-limit",
    "min-replicas-to-write",
];

/// The first release with WAITAOF.
const WAITS_FOR_DISK: Version = Version { major: 7, minor: 2 };

/// The release of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It lacks what the scripts need.
    #[error("redis {0} is too old: it must be 7 or later")]
    TooOld(String),
    /// The ACL user lacks rights.
    #[error("redis does not allow its user {denied}: run ACL SETUSER with {grant}")]
    Denied {
        /// The calls.
        denied: String,
        /// What allows them.
        grant: String,
    },
    /// It does not know the user, or not with this password.
    #[error("redis does not let the user of `broker.url` in: {0}")]
    Login(String),
    /// It has no such database, or not for this user.
    #[error(
        "redis refuses the database of `broker.url`: {0}: `databases` of redis.conf says how many there are, and an ACL \
         user needs `+select`"
    )]
    Database(String),
    /// It is one of a cluster, and the URL names one server.
    #[error(
        "redis is a server of a cluster, and has only a part of what is published: write `redis+cluster://` in \
         `broker.url` instead of `redis://`, or `rediss+cluster://` instead of `rediss://`"
    )]
    Cluster,
    /// It is on its own, and the URL names a cluster.
    #[error(
        "redis is not a server of a cluster: write `redis://` in `broker.url` instead of `redis+cluster://`, or start it \
         with `cluster-enabled yes`"
    )]
    NoCluster,
    /// It cannot say when its disk has something.
    #[error(
        "`broker.durability` is `fsync`, and redis {0} does not say when its disk has something: set `appendonly yes`, and \
         before Redis 7.2 `appendfsync always` and `no-appendfsync-on-rewrite no` as well"
    )]
    NoFsync(String),
}

/// Why a look at a server led to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInspected {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It may become the primary, or a name may lead to another server soon.
    #[error("its server is a replica, which takes no writes")]
    Replica,
    #[error(transparent)]
    Failed(#[from] RedisError),
}

impl Unfit {
    /// Why a server can never be used that refuses a connection with this error; none if it may pass.
    pub(super) fn of_login(error: &RedisError) -> Option<Self> {
        if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) {
            return Some(Self::Login(error.to_string()));
        }
        // The client keeps no code of it. The server answers SELECT also while it loads, so it is for good.
        let text = error.to_string();
        let (_, why) = text.split_once("refused to switch database")?;
        Some(Self::Database(why.trim_start_matches([' ', ':', '-']).to_owned()))
    }
}

/// Looks at servers.
#[derive(Debug)]
pub(super) struct Inspector {
    /// Every call that is made, in words.
    calls: Vec<Vec<String>>,
    prefix: String,
    durability: Durability,
    /// What its server is called in logs.
    server: String,
    topology: Topology,
    /// The run of a server whose settings were told last.
    told: Mutex<Option<String>>,
}

impl Inspector {
    /// `scripts` are the texts of those that are run: they show what they call.
    pub(super) fn new<'a>(
        config: &config::Broker,
        keys: &Keys,
        scripts: impl Iterator<Item = &'a str>,
        server: &str,
    ) -> Self {
        let topology = Topology::from(&config.url.value);
        let (pubsub, others) = match topology {
            Topology::Single => (SINGLE_PUBSUB_CALLS, SINGLE_CALLS),
            Topology::Cluster => (CLUSTER_PUBSUB_CALLS, CLUSTER_CALLS),
        };
        let on_keys: BTreeSet<_> = scripts.flat_map(calls_of).chain(KEY_CALLS.iter().copied()).collect();
        let key = keys.claim([0; 16]);
        // In small letters, as nobody else writes commands so: what looks for one on the wire is not misled.
        let words = |words: &[&str]| {
            let (call, on) = words.split_first().unwrap_or((&"", &[]));
            [call.to_ascii_lowercase()].into_iter().chain(on.iter().map(ToString::to_string)).collect()
        };
        let mut calls: Vec<_> = BARE_CALLS.iter().map(|call| words(&[call])).collect();
        calls.extend(others.iter().map(|call| words(call)));
        let probe = keys.probe("0", uuid::Uuid::nil());
        calls.extend(pubsub.iter().map(|call| words(&[call, &probe])));
        calls.extend(SCRIPT_CALLS.iter().map(|call| words(&[call, "", "1", &key])));
        let special = |call: &&str| BARE_CALLS.contains(call) || pubsub.contains(call);
        calls.extend(on_keys.into_iter().filter(|call| !special(call)).map(|call| words(&[call, &key])));
        if matches!(config.durability, Durability::Replica(_)) {
            calls.push(words(&["WAIT"]));
        }
        Self {
            calls,
            prefix: config.prefix.clone(),
            durability: config.durability,
            server: server.to_owned(),
            topology,
            told: Mutex::default(),
        }
    }

    /// Looks at the server of a connection, and logs what is doubtful about it once in each of its runs. Returns what to
    /// ask of it for the durability that is configured.
    pub(super) async fn inspect(&self, connection: &mut MultiplexedConnection) -> Result<Seal, NotInspected> {
        let facts = self.allowed(redis::cmd("INFO").query_async::<String>(connection).await, &["INFO"])?;
        let facts = read_facts(&facts);
        let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
        let version = Version::of(fact("redis_version"));
        if version.major < OLDEST {
            return Err(Unfit::TooOld(fact("redis_version").to_owned()).into());
        }
        match (fact("cluster_enabled"), self.topology) {
            ("1", Topology::Single) => return Err(Unfit::Cluster.into()),
            ("0", Topology::Cluster) => return Err(Unfit::NoCluster.into()),
            _ => {}
        }
        if fact("role") == "slave" {
            return Err(NotInspected::Replica);
        }
        self.check_rights(connection, version).await?;
        let run = fact("run_id");
        let is_new = self.told.lock().as_deref() != Some(run);
        if !is_new && self.durability != Durability::Fsync {
            return Ok(self.durability.into());
        }
        let settings = settings(connection).await?;
        if is_new {
            for finding in findings(&facts, &settings, self.durability) {
                tracing::warn!("{} {finding}", self.server);
            }
            *self.told.lock() = Some(run.to_owned());
        }
        match self.durability {
            Durability::Fsync => {
                Ok(seal_of_disk(&facts, &settings).ok_or_else(|| Unfit::NoFsync(fact("redis_version").to_owned()))?)
            }
            level => Ok(level.into()),
        }
    }

    async fn check_rights(&self, connection: &mut MultiplexedConnection, version: Version) -> Result<(), NotInspected> {
        let mut question = redis::cmd("EVAL_RO");
        question.arg(MAY_NOT).arg(0);
        for call in &self.calls {
            question.arg(call.len()).arg(call);
        }
        // A server that has no such command would refuse the question.
        if self.durability == Durability::Fsync && version >= WAITS_FOR_DISK {
            question.arg(1).arg("waitaof");
        }
        let denied: Vec<String> = self.allowed(question.query_async(connection).await, &["EVAL_RO"])?;
        if denied.is_empty() { Ok(()) } else { Err(self.denied(&denied).into()) }
    }

    /// What came of a call, and if it was that the user may not make it, that.
    fn allowed<T>(&self, result: RedisResult<T>, calls: &[&str]) -> Result<T, NotInspected> {
        result.map_err(|error| match error.code() {
            Some("NOPERM") => self.denied(calls).into(),
            _ => error.into(),
        })
    }

    fn denied(&self, calls: &[impl AsRef<str>]) -> Unfit {
        let calls = || calls.iter().map(AsRef::as_ref);
        let prefix = &self.prefix;
        let grant: Vec<_> = calls().map(|call| format!("+{}", call.to_ascii_lowercase())).collect();
        Unfit::Denied {
            denied: calls().map(str::to_ascii_uppercase).collect::<Vec<_>>().join(", "),
            grant: format!("`~{prefix}:* &{prefix}:* {}`", grant.join(" ")),
        }
    }
}

impl Version {
    /// Nought where it cannot be read.
    fn of(text: &str) -> Self {
        let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
        Self { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) }
    }
}

/// What to ask for the disk, if there is something: from 7.2 on it can be asked for, and with `always` it is waited for
/// before any reply.
fn seal_of_disk(facts: &HashMap<&str, &str>, settings: &HashMap<String, String>) -> Option<Seal> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
    let version = Version::of(facts.get("redis_version").copied().unwrap_or_default());
    match facts.get("aof_enabled").copied() {
        Some("1") if version >= WAITS_FOR_DISK => Some(Seal::Disk),
        Some("1") if is("appendfsync", "always") && is("no-appendfsync-on-rewrite", "no") => Some(Seal::Stored),
        _ => None,
    }
}

/// The commands that a script calls.
fn calls_of(script: &str) -> impl Iterator<Item = &str> {
    script.split("redis.call('").skip(1).filter_map(|rest| rest.split('\'').next())
}

fn read_facts(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(':')).collect()
}

/// The settings that matter; none where the user may not read them, as is usual with hosted servers.
async fn settings(connection: &mut MultiplexedConnection) -> RedisResult<HashMap<String, String>> {
    let mut question = redis::cmd("CONFIG");
    question.arg("GET").arg(SETTINGS);
    match question.query_async::<Value>(connection).await {
        Ok(settings) => Ok(redis::from_redis_value(settings)?),
        Err(error) if error.is_io_error() => Err(error),
        Err(error) => {
            tracing::info!("the settings of redis were not checked: {error}");
            Ok(HashMap::new())
        }
    }
}

/// What is doubtful, each with what to set.
fn findings(facts: &HashMap<&str, &str>, settings: &HashMap<String, String>, durability: Durability) -> Vec<String> {
    let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
    let mut found = Vec::new();
    let policy = fact("maxmemory_policy");
    if fact("maxmemory") != "0" && !["", "noeviction"].contains(&policy) {
        found.push(format!(
            "evicts keys when its memory is full, and history with them: set `maxmemory-policy noeviction`, which is \
             `{policy}`"
        ));
    }
    if is("appendonly", "no") && is("save", "") {
        found.push("keeps nothing on disk, so a restart loses all history: set `appendonly yes`".to_owned());
    }
    if let Some(limits) = settings.get("client-output-buffer-limit")
        && let Some((_, pubsub)) = limits.split_once("pubsub ")
        && let [hard, soft] = *pubsub.split(' ').filter_map(|limit| limit.parse().ok()).take(2).collect::<Vec<u64>>()
        && [hard, soft].iter().zip(BUFFERS).any(|(&limit, least)| limit != 0 && limit < least)
    {
        found.push(format!(
            "cuts a node off when {hard} bytes wait for it, or {soft} for some time: set \
             `client-output-buffer-limit pubsub 64mb 16mb 60`"
        ));
    }
    if let Durability::Replica(count) = durability {
        let least = |number: Option<&str>| number.and_then(|number| number.parse().ok()).unwrap_or(0) >= count.get();
        if !least(facts.get("connected_slaves").copied()) {
            found.push(format!("has fewer replicas than the {count} of `broker.durability`: publishes will fail"));
        }
        let needed = settings.get("min-replicas-to-write").map(String::as_str);
        if needed.is_some() && !least(needed) {
            found.push(format!(
                "stores what too few replicas will confirm: set `min-replicas-to-write {count}`, so that it is refused"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(facts: &str, settings: &[(&str, &str)]) -> Vec<String> {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        findings(&read_facts(facts), &settings, Durability::Primary)
    }

    #[test]
    fn the_disk_can_be_asked_from_7_2_on_and_before_it_must_come_first() {
        let settings = |sync: &str, rewrite: &str| {
            HashMap::from([
                ("appendfsync".to_owned(), sync.to_owned()),
                ("no-appendfsync-on-rewrite".to_owned(), rewrite.to_owned()),
            ])
        };
        let seal = |version, appends, settings| {
            seal_of_disk(&HashMap::from([("redis_version", version), ("aof_enabled", appends)]), &settings)
        };
        assert_eq!(seal("7.2.0", "1", settings("everysec", "yes")), Some(Seal::Disk));
        assert_eq!(seal("8.0.1", "1", HashMap::new()), Some(Seal::Disk));
        assert_eq!(seal("7.0.15", "1", settings("always", "no")), Some(Seal::Stored));
        assert_eq!(seal("7.0.15", "1", settings("always", "yes")), None);
        assert_eq!(seal("7.0.15", "1", settings("everysec", "no")), None);
        assert_eq!(seal("7.0.15", "1", HashMap::new()), None);
        assert_eq!(seal("8.0.1", "0", settings("always", "no")), None);
    }

    #[test]
    fn what_is_no_version_is_too_old() {
        assert_eq!(Version::of("7.0.15"), Version { major: 7, minor: 0 });
        assert!(Version::of("6.2.14").major < OLDEST && Version::of("").major < OLDEST);
    }

    #[test]
    fn fewer_replicas_than_are_waited_for_are_told() {
        let level = Durability::Replica(2.try_into().unwrap());
        let told = |facts, needed: &str| {
            findings(&read_facts(facts), &HashMap::from([("min-replicas-to-write".into(), needed.into())]), level)
        };
        assert_eq!(told("connected_slaves:2", "2"), [""; 0]);
        assert!(told("connected_slaves:1", "2")[0].contains("fewer replicas than the 2"));
        assert!(told("connected_slaves:2", "0")[0].contains("`min-replicas-to-write 2`"));
    }

    #[test]
    fn each_doubtful_setting_is_told_with_what_to_set() {
        let usual = [
            ("save", "3600 1"),
            ("appendonly", "no"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ];
        assert_eq!(found("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", &usual), [""; 0]);
        assert_eq!(found("maxmemory:9\r\nmaxmemory_policy:noeviction\r\n", &usual), [""; 0]);
        let evicts = found("maxmemory:9\r\nmaxmemory_policy:volatile-lru\r\n", &usual);
        assert!(evicts.len() == 1 && evicts[0].contains("noeviction"), "{evicts:?}");
        let forgets = found("", &[("save", ""), ("appendonly", "no")]);
        assert!(forgets.len() == 1 && forgets[0].contains("appendonly yes"), "{forgets:?}");
        for limits in ["pubsub 1048576 0 0", "normal 0 0 0 pubsub 0 1048576 1"] {
            let cuts = found("", &[("client-output-buffer-limit", limits)]);
            assert!(cuts.len() == 1 && cuts[0].contains("pubsub 64mb 16mb 60"), "{cuts:?}");
        }
        assert_eq!(found("", &[("client-output-buffer-limit", "pubsub 0 0 0")]), [""; 0]);
    }

    #[test]
    fn a_script_shows_what_it_calls() {
        let script = "redis.call('XADD', k)\nlocal a = redis.call('GET', k) or redis.call('TIME')";
        assert_eq!(calls_of(script).collect::<Vec<_>>(), ["XADD", "GET", "TIME"]);
    }
}
