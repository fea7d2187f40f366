//! Asking Redis Sentinel which server is the primary.

use std::collections::HashMap;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, RedisResult};

use super::access::{Access, Address};
use super::inspection::Unfit;
use crate::config;

/// How long one Sentinel may take to answer. All are asked at once.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The configured Sentinels.
pub(super) struct Sentinels {
    asked: Vec<Client>,
    primary: String,
    /// How to connect to the primary.
    access: Access,
}

/// No Sentinel names a primary.
#[derive(Debug, thiserror::Error)]
#[error("of {asked} sentinels none names the primary `{primary}`: {why}")]
pub(super) struct NoPrimary {
    asked: usize,
    primary: String,
    why: String,
    /// Why one can never be asked.
    pub(super) unfit: Option<Unfit>,
}

/// What one of them says. The newest epoch wins, as one that was cut off repeats what was true before.
struct Answer {
    epoch: u64,
    address: Address,
}

impl Sentinels {
    pub(super) fn new(config: &config::Sentinels, ca: Option<&str>) -> RedisResult<Self> {
        let asked = Access::new(config.transport, &config.sentinel_login, 0, ca);
        Ok(Self {
            asked: config.addresses.iter().map(|address| asked.client(address)).collect::<RedisResult<_>>()?,
            primary: config.primary.clone(),
            access: Access::new(config.transport, &config.login, config.database, ca),
        })
    }

    /// Where the primary is, as far as the Sentinels know.
    pub(super) async fn primary(&self) -> Result<Address, NoPrimary> {
        let answers = self.asked.iter().map(|client| async {
            match tokio::time::timeout(TIMEOUT, self.ask(client)).await {
                Ok(answer) => answer.map_err(|error| (error.to_string(), Unfit::of_login(&error))),
                Err(_) => Err((format!("no answer within {TIMEOUT:?}"), None)),
            }
        });
        let answers = futures_util::future::join_all(answers).await;
        // What can never work is told rather than what may pass.
        let failed = answers.iter().filter_map(|answer| answer.as_ref().err());
        let (why, unfit) = failed.max_by_key(|(_, unfit)| unfit.is_some()).cloned().unwrap_or_default();
        match answers.into_iter().flatten().max_by_key(|answer| answer.epoch) {
            Some(newest) => Ok(newest.address),
            None => Err(NoPrimary { asked: self.asked.len(), primary: self.primary.clone(), why, unfit }),
        }
    }

    /// A client of the server at an address.
    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        self.access.client(address)
    }

    async fn ask(&self, client: &Client) -> RedisResult<Answer> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // Only the first names a replica that was promoted already while others are still being told; only the second
        // knows the epoch.
        let mut questions = redis::pipe();
        questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        questions.cmd("SENTINEL").arg("MASTER").arg(&self.primary);
        let (address, facts): (Address, HashMap<String, String>) = questions.query_async(&mut connection).await?;
        let epoch = facts.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Ok(Answer { epoch, address })
    }
}
