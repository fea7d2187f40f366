//! A real Redis cluster of a test's own.

use std::net::{Ipv4Addr, TcpListener};

use super::*;

/// How long a primary may be silent before its replica takes its place.
const NODE_TIMEOUT: &str = "1000";
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// Server processes that share the slots. They end with this value.
pub(super) struct Cluster {
    pub(super) primaries: Vec<Server>,
    /// One for each primary, or none.
    pub(super) replicas: Vec<Server>,
    /// Where the primaries speak TLS, if they do.
    tls_ports: Vec<String>,
}

impl Cluster {
    /// Three primaries that know each other.
    pub(super) async fn start() -> Self {
        Self::start_with(0, &[]).await
    }

    /// The same, which speak TLS among themselves, and with their clients at ports beside the plain ones.
    pub(super) async fn with_tls(options: &[String]) -> Self {
        Self::start_with(0, options).await
    }

    /// The same, with a replica each.
    pub(super) async fn with_replicas() -> Self {
        Self::start_with(PRIMARIES, &[]).await
    }

    async fn start_with(replicas: usize, tls: &[String]) -> Self {
        let (mut primaries, mut buses, mut tls_ports) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..PRIMARIES + replicas {
            let [bus, tls_port] = [free_port(), free_port()];
            let mut options = vec![
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                NODE_TIMEOUT,
                "--cluster-require-full-coverage",
                "no",
                "--repl-diskless-sync-delay",
                "0",
            ];
            if !tls.is_empty() {
                options.extend(["--tls-cluster", "yes", "--tls-port", &tls_port]);
                options.extend(tls.iter().map(String::as_str));
                tls_ports.push(tls_port.clone());
            }
            let server = Server::start(&options).await;
            server.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await;
            if index < PRIMARIES {
                let (from, to) = (SLOTS * index / PRIMARIES, SLOTS * (index + 1) / PRIMARIES - 1);
                server.run(&format!("CLUSTER ADDSLOTSRANGE {from} {to}")).await;
            }
            primaries.push(server);
            buses.push(bus);
        }
        for (index, bus) in buses.iter().enumerate().skip(1) {
            // They know each other by the port that they speak among themselves.
            let port = tls_ports.get(index).cloned().unwrap_or_else(|| primaries[index].port());
            primaries[0].run(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await;
        }
        let replicas = primaries.split_off(PRIMARIES);
        let cluster = Self { primaries, replicas, tls_ports };
        cluster.settle().await;
        cluster
    }

    async fn settle(&self) {
        let servers = || self.primaries.iter().chain(&self.replicas);
        for server in servers() {
            until(async || {
                let info = text(server.run("CLUSTER INFO").await);
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains(&format!("cluster_known_nodes:{}", servers().count()))
            })
            .await;
        }
        for (replica, primary) in self.replicas.iter().zip(&self.primaries) {
            let id = text(primary.run("CLUSTER MYID").await);
            replica.run(&format!("CLUSTER REPLICATE {id}")).await;
        }
        for (replica, primary) in self.replicas.iter().zip(&self.primaries) {
            until(async || text(replica.run("INFO replication").await).contains("master_link_status:up")).await;
            until(async || text(primary.run("INFO replication").await).contains("connected_slaves:1")).await;
        }
        // A replica that its primary's peers do not know of yet is voted for by nobody.
        for server in servers().filter(|_| !self.replicas.is_empty()) {
            until(async || {
                let known = text(server.run("CLUSTER NODES").await);
                known.matches("slave").count() == self.replicas.len()
            })
            .await;
        }
    }

    pub(super) fn url(&self) -> String {
        let places: Vec<_> = self.primaries.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+cluster://{}", places.join(","))
    }

    /// With TLS.
    pub(super) fn tls_url(&self) -> String {
        let places: Vec<_> = self.tls_ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("rediss+cluster://{}", places.join(","))
    }

    /// Which of the primaries has a channel: the others send whoever asks away.
    pub(super) async fn owner(&self, channel: &ChannelName) -> usize {
        let key = format!("test:{{{channel}}}:m");
        for (index, server) in self.primaries.iter().enumerate() {
            if server.try_run(&[b"GET", key.as_bytes()]).await.is_ok() {
                return index;
            }
        }
        panic!("no primary has {channel}");
    }

    pub(super) async fn slot(&self, channel: &ChannelName) -> u64 {
        let slot = self.primaries[0].run(&format!("CLUSTER KEYSLOT {channel}")).await;
        ::redis::from_redis_value(slot).unwrap()
    }

    /// Channels of users, so many on each of the primaries.
    pub(super) async fn channels(&self, each: usize) -> Vec<ChannelName> {
        let mut found = [0; PRIMARIES];
        let mut channels = Vec::new();
        for n in 0.. {
            let name = channel(&format!("user.{n}"));
            let owner = self.owner(&name).await;
            if found[owner] < each {
                found[owner] += 1;
                channels.push(name);
            }
            if channels.len() == each * PRIMARIES {
                break;
            }
        }
        channels
    }

    /// Moves a channel's slot, with what is in it, as `redis-cli --cluster reshard` does.
    pub(super) async fn migrate(&self, channel: &ChannelName, to: usize, meanwhile: Duration) {
        let slot = self.slot(channel).await;
        let (from, to) = (&self.primaries[self.owner(channel).await], &self.primaries[to]);
        let ids = [text(from.run("CLUSTER MYID").await), text(to.run("CLUSTER MYID").await)];
        to.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0])).await;
        from.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1])).await;
        tokio::time::sleep(meanwhile).await;
        loop {
            let keys = from.run(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
            let keys: Vec<String> = ::redis::from_redis_value(keys).unwrap();
            if keys.is_empty() {
                break;
            }
            let port = to.port();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            from.run_words(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await;
        }
        for server in [to, from].into_iter().chain(&self.primaries) {
            server.run(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[1])).await;
        }
    }
}

fn free_port() -> String {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().to_string()
}

/// What a server replied.
pub(super) fn text(value: ::redis::Value) -> String {
    ::redis::from_redis_value(value).unwrap()
}

pub(super) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("did not become so");
}
