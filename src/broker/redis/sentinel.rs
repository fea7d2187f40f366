//! Asking Redis Sentinel which server is the primary.

use std::collections::HashMap;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult,
};

use super::dialer::open;
use crate::config::{self, Login, Transport};

/// How long one Sentinel may take to answer. All are asked at once.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The configured Sentinels.
pub(super) struct Sentinels {
    asked: Vec<Client>,
    primary: String,
    transport: Transport,
    /// Whom to trust.
    ca: Option<String>,
    /// How to log in at the primary.
    settings: RedisConnectionInfo,
}

/// No Sentinel names a primary.
#[derive(Debug, thiserror::Error)]
#[error("of {asked} sentinels none names the primary `{primary}`: {why}")]
pub(super) struct NoPrimary {
    asked: usize,
    primary: String,
    why: String,
}

/// What one of them says. The newest epoch wins, as one that was cut off repeats what was true before.
struct Answer {
    epoch: u64,
    address: (String, u16),
}

impl Sentinels {
    pub(super) fn new(config: &config::Sentinels, ca: Option<&str>) -> RedisResult<Self> {
        let client = |(host, port): &(String, u16)| {
            let info = place(host, *port, config.transport).into_connection_info()?;
            open(info.set_redis_settings(settings(&config.sentinel_login)), ca)
        };
        Ok(Self {
            asked: config.addresses.iter().map(client).collect::<RedisResult<_>>()?,
            primary: config.primary.clone(),
            transport: config.transport,
            ca: ca.map(str::to_owned),
            settings: settings(&config.login).set_db(config.database),
        })
    }

    /// Where the primary is, as far as the Sentinels know.
    pub(super) async fn primary(&self) -> Result<(String, u16), NoPrimary> {
        let answers = self.asked.iter().map(|client| async {
            match tokio::time::timeout(TIMEOUT, self.ask(client)).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
            }
        });
        let answers = futures_util::future::join_all(answers).await;
        let why = answers.iter().find_map(|answer| answer.as_ref().err().cloned()).unwrap_or_default();
        match answers.into_iter().flatten().max_by_key(|answer| answer.epoch) {
            Some(newest) => Ok(newest.address),
            None => Err(NoPrimary { asked: self.asked.len(), primary: self.primary.clone(), why }),
        }
    }

    /// The authorities that servers and Sentinels are certified by, if they are not public ones.
    pub(super) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// How to connect to the server at an address.
    pub(super) fn server(&self, (host, port): &(String, u16)) -> RedisResult<ConnectionInfo> {
        Ok(place(host, *port, self.transport).into_connection_info()?.set_redis_settings(self.settings.clone()))
    }

    async fn ask(&self, client: &Client) -> RedisResult<Answer> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // Only the first names a replica that was promoted already while others are still being told; only the second
        // knows the epoch.
        let mut questions = redis::pipe();
        questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        questions.cmd("SENTINEL").arg("MASTER").arg(&self.primary);
        let (address, facts): ((String, u16), HashMap<String, String>) = questions.query_async(&mut connection).await?;
        let epoch = facts.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Ok(Answer { epoch, address })
    }
}

fn place(host: &str, port: u16, transport: Transport) -> ConnectionAddr {
    let host = host.to_owned();
    match transport {
        Transport::Tls => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        Transport::Plain => ConnectionAddr::Tcp(host, port),
    }
}

fn settings(login: &Login) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password.expose());
    }
    settings
}
