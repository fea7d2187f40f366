//! Redis servers that share the channels among them, with a replica for each.

use std::net::TcpListener;

use super::{Redis, eventually};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

/// All of them. They end with this value.
pub(crate) struct Cluster {
    pub(crate) primaries: Vec<Redis>,
    _replicas: Vec<Redis>,
}

impl Cluster {
    /// Starts them, and waits until each knows the others and each replica follows.
    pub(crate) async fn start() -> Self {
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for index in 0..2 * PRIMARIES {
            let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let server = Redis::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "1000",
                "--cluster-require-full-coverage",
                "no",
            ])
            .await;
            server.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await;
            if index < PRIMARIES {
                let (from, to) = (SLOTS * index / PRIMARIES, SLOTS * (index + 1) / PRIMARIES - 1);
                server.run(&format!("CLUSTER ADDSLOTSRANGE {from} {to}")).await;
            }
            servers.push(server);
            buses.push(bus);
        }
        for (server, bus) in servers.iter().zip(&buses).skip(1) {
            let place = server.address();
            servers[0].run(&format!("CLUSTER MEET {} {} {bus}", place.ip(), place.port())).await;
        }
        for server in &servers {
            eventually("it knows the others", async || {
                let state = text(server, "CLUSTER INFO").await;
                state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:6")
            })
            .await;
        }
        let replicas = servers.split_off(PRIMARIES);
        for (replica, primary) in replicas.iter().zip(&servers) {
            let id = text(primary, "CLUSTER MYID").await;
            replica.run(&format!("CLUSTER REPLICATE {id}")).await;
        }
        for server in replicas.iter().chain(&servers) {
            eventually("the replicas follow and are known", async || {
                let state = text(server, "INFO replication").await;
                let known = text(server, "CLUSTER NODES").await;
                (state.contains("master_link_status:up") || state.contains("connected_slaves:1"))
                    && known.matches("slave").count() == PRIMARIES
            })
            .await;
        }
        Self { primaries: servers, _replicas: replicas }
    }

    pub(crate) fn url(&self) -> String {
        let places: Vec<_> = self.primaries.iter().map(|server| server.address().to_string()).collect();
        format!("redis+cluster://{}", places.join(","))
    }

    /// Which of the primaries has a channel: the others send whoever asks away.
    pub(crate) async fn owner(&self, channel: &str) -> usize {
        for (index, server) in self.primaries.iter().enumerate() {
            if server.try_run(&format!("GET fanfare:{{{channel}}}:m")).await.is_ok() {
                return index;
            }
        }
        panic!("no primary has {channel}");
    }

    /// One user whose channel is on each of the primaries.
    pub(crate) async fn users(&self) -> Vec<String> {
        let mut users = vec![None; PRIMARIES];
        for number in 0.. {
            let user = format!("c{number}");
            let owner = self.owner(&format!("user.{user}")).await;
            users[owner].get_or_insert(user);
            if users.iter().all(Option::is_some) {
                break;
            }
        }
        users.into_iter().flatten().collect()
    }

    /// Moves the slot of a channel, with what is in it, as `redis-cli --cluster reshard` does.
    pub(crate) async fn migrate(&self, channel: &str, to: usize) {
        let slot: u64 =
            redis::from_redis_value(self.primaries[0].run(&format!("CLUSTER KEYSLOT {channel}")).await).unwrap();
        let (from, to) = (&self.primaries[self.owner(channel).await], &self.primaries[to]);
        let ids = [text(from, "CLUSTER MYID").await, text(to, "CLUSTER MYID").await];
        to.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0])).await;
        from.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1])).await;
        loop {
            let keys: Vec<String> =
                redis::from_redis_value(from.run(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await).unwrap();
            if keys.is_empty() {
                break;
            }
            let place = to.address();
            for key in keys {
                from.run(&format!("MIGRATE {} {} {key} 0 5000", place.ip(), place.port())).await;
            }
        }
        for server in [to, from].into_iter().chain(&self.primaries) {
            server.run(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[1])).await;
        }
    }
}

async fn text(server: &Redis, command: &str) -> String {
    redis::from_redis_value(server.run(command).await).unwrap()
}
