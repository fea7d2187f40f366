//! Asking the servers of a cluster which of them has what.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, Pipeline, RedisError, Value};

use super::access::{Access, Address, shown};
use super::inspection::Unfit;
use super::server::Server;
use super::slots::Owners;
use super::{InvalidUrl, read_reply};
use crate::config;

/// How long a server may take to answer. Several are asked at once.
const TIMEOUT: Duration = Duration::from_millis(500);
/// How many are asked at once, at most. One that is cut off answers what was true before, so one alone is not believed.
const ASKED: usize = 5;

/// How to find a cluster.
pub(super) struct Cluster {
    pub(super) access: Access,
    seeds: Vec<Address>,
}

/// What a server tells.
#[derive(Debug)]
pub(super) struct Told {
    /// Rises with every change of owners. The newest answer counts.
    pub(super) epoch: u64,
    pub(super) owners: Owners,
}

/// Why no server tells anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("{0}")]
    Failed(String),
}

impl Cluster {
    /// A cluster whose seeds a client can be made for.
    pub(super) fn new(config: &config::Cluster, ca: Option<&str>) -> Result<Self, InvalidUrl> {
        let access = Access::new(config.transport, &config.login, 0, ca);
        for seed in &config.seeds {
            access.client(seed).map_err(|_| InvalidUrl)?;
        }
        Ok(Self { access, seeds: config.seeds.clone() })
    }

    /// Asks servers that are connected; if none of them answers, the seeds and whatever else is known.
    pub(super) async fn ask(&self, servers: &[Arc<Server>], known: &[Address]) -> Result<Told, Untold> {
        let first = rand::random_range(0..servers.len().max(1));
        let asked = servers.iter().cycle().skip(first).take(servers.len().min(ASKED));
        let told = join_all(asked.map(|server| ask_connected(server))).await;
        if let Some(newest) = told.into_iter().flatten().max_by_key(|told| told.epoch) {
            return Ok(newest);
        }
        let others = known.iter().filter(|address| !self.seeds.contains(address));
        let places: Vec<_> = self.seeds.iter().chain(others).collect();
        let mut why = Untold::Failed("no server is known".to_owned());
        for places in places.chunks(ASKED) {
            let told = join_all(places.iter().map(|place| self.ask_at(place))).await;
            let (told, failed): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
            if let Some(newest) = told.into_iter().flatten().max_by_key(|told| told.epoch) {
                return Ok(newest);
            }
            // What can never work is told rather than what may pass.
            for error in failed.into_iter().filter_map(Result::err) {
                if !matches!(why, Untold::Unfit(_)) {
                    why = error;
                }
            }
        }
        Err(why)
    }

    /// Makes a connection for one question.
    async fn ask_at(&self, place: &Address) -> Result<Told, Untold> {
        let failed = |why: String| Untold::Failed(format!("{}: {why}", shown(place)));
        let replies = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT));
            let client = self.access.client(place)?;
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            let questions = questions();
            connection.send_packed_commands(&questions, 0, questions.len()).await
        };
        match tokio::time::timeout(TIMEOUT, replies).await {
            Ok(Ok(replies)) => read(replies, place),
            Ok(Err(error)) => Err(unfit(&error).map_or_else(|| failed(error.to_string()), Into::into)),
            Err(_) => Err(failed(format!("no answer within {TIMEOUT:?}"))),
        }
    }
}

/// The client of a seed may print its password.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("seeds", &self.seeds).finish_non_exhaustive()
    }
}

async fn ask_connected(server: &Server) -> Option<Told> {
    let place = server.place.as_ref()?;
    let replies = tokio::time::timeout(TIMEOUT, server.commands.send(&questions())).await.ok()?.ok()?;
    read(replies, place).ok()
}

fn questions() -> Pipeline {
    let mut questions = redis::pipe();
    questions.cmd("CLUSTER").arg("INFO");
    questions.cmd("CLUSTER").arg("SLOTS");
    questions
}

fn read(replies: Vec<Value>, place: &Address) -> Result<Told, Untold> {
    let failed = |why: &str| Untold::Failed(format!("{}: {why}", shown(place)));
    let mut replies = replies.into_iter();
    let (info, slots) = (replies.next().unwrap_or_default(), replies.next().unwrap_or_default());
    let info: String =
        read_reply(info).map_err(|error| unfit(&error).map_or_else(|| failed(&error.to_string()), Into::into))?;
    let slots =
        slots.extract_error().map_err(|error| unfit(&error).map_or_else(|| failed(&error.to_string()), Into::into))?;
    let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")?.trim().parse().ok());
    let owners = Owners::read(slots, place).ok_or_else(|| failed("its answer to CLUSTER SLOTS cannot be read"))?;
    if owners.primaries.is_empty() {
        return Err(failed("it knows no server that has slots"));
    }
    Ok(Told { epoch: epoch.unwrap_or(0), owners })
}

/// What no repetition mends.
fn unfit(error: &RedisError) -> Option<Unfit> {
    if error.code() == Some("NOPERM") {
        return Some(Unfit::Denied {
            denied: "CLUSTER INFO, CLUSTER SLOTS".to_owned(),
            grant: "`+cluster|info +cluster|slots`".to_owned(),
        });
    }
    if error.to_string().contains("cluster support disabled") {
        return Some(Unfit::NoCluster);
    }
    Unfit::of_login(error)
}
