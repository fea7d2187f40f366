//! Makes connections to the server that is to be used now: the configured one, the one that Sentinels name, or one of a
//! cluster for as long as it owns slots.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, RedisResult, TlsCertificates, Value,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Address, shown};
use super::inspection::Unfit;
use super::sentinel::{NoPrimary, Sentinels};
use crate::config::BrokerUrl;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that may wait to be written; publishes are bounded before they get here.
const WRITE_QUEUE: usize = 1_024;
/// How often Sentinels are asked, at most; spread, so that nodes do not ask in step. A connection to a server that is
/// cut off from everybody else may stand for long, and only this tells that the others have gone on without it.
const WATCH: Duration = Duration::from_secs(1);

/// `broker.url`, or what is in `broker.ca_file`, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`broker.url` or `broker.ca_file` is not one that the Redis client can use")]
pub struct InvalidUrl;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDialled {
    #[error(transparent)]
    Refused(#[from] RedisError),
    #[error(transparent)]
    NoPrimary(#[from] NoPrimary),
    #[error("{0}, which the sentinels name, is not the primary")]
    NotPrimary(String),
    #[error("it is not used any more")]
    Retired,
}

impl NotDialled {
    /// Why the server can never be used; none if it may pass.
    pub(super) fn unfit(&self) -> Option<Unfit> {
        match self {
            Self::Refused(error) => Unfit::of_login(error),
            Self::NoPrimary(NoPrimary { unfit, .. }) => unfit.clone(),
            Self::NotPrimary(_) | Self::Retired => None,
        }
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Target>);

enum Target {
    Server(Client),
    Named {
        sentinels: Sentinels,
        /// What they last named.
        primary: watch::Sender<Option<Address>>,
    },
    Member {
        client: Client,
        /// Cancelled when the cluster has nothing there any more.
        retired: CancellationToken,
    },
}

/// A connection that was made.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) tenure: Tenure,
}

/// For how long the server of a connection is the one to use.
#[derive(Debug)]
pub(super) enum Tenure {
    Unlimited,
    Named(Address, watch::Receiver<Option<Address>>),
    Member(CancellationToken),
}

impl Tenure {
    /// Waits until it is not any more, and says so. With one configured server that is never.
    pub(super) async fn ends(self) -> &'static str {
        match self {
            Self::Unlimited => std::future::pending().await,
            Self::Named(own, mut named) => {
                // It cannot close while the dialer is used.
                let _ = named.wait_for(|named| named.as_ref() != Some(&own)).await;
                "another server is the primary now"
            }
            Self::Member(retired) => {
                retired.cancelled().await;
                "others of the cluster have what it had"
            }
        }
    }
}

impl Dialer {
    pub(super) fn new(url: &BrokerUrl, ca: Option<&str>) -> Result<Self, InvalidUrl> {
        // The error's own text may hold a part of the URL, so it is not told.
        let invalid = |_| InvalidUrl;
        Ok(Self(Arc::new(match url {
            // A cluster has a dialer for each of its servers.
            BrokerUrl::Memory | BrokerUrl::Cluster(_) => return Err(InvalidUrl),
            BrokerUrl::Redis(url) => {
                let info = url.expose().into_connection_info().map_err(invalid)?;
                Target::Server(open(tuned(info), ca).map_err(invalid)?)
            }
            BrokerUrl::Sentinel(config) => {
                let sentinels = Sentinels::new(config, ca).map_err(invalid)?;
                Target::Named { sentinels, primary: watch::Sender::new(None) }
            }
        })))
    }

    /// One that connects to a server of a cluster, until `retired` is cancelled.
    pub(super) fn member(access: &Access, address: &Address, retired: CancellationToken) -> RedisResult<Self> {
        Ok(Self(Arc::new(Target::Member { client: access.client(address)?, retired })))
    }

    /// Connects. A command on the connection fails after `timeout`. `on_push` is called for everything that the server
    /// sends unasked, inside the read loop: it must not block.
    pub(super) async fn dial(
        &self,
        timeout: Duration,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Dialled, NotDialled> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(WRITE_QUEUE)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<(), redis::aio::SendError>(())
            });
        let (sentinels, primary) = match &*self.0 {
            Target::Server(client) => {
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                return Ok(Dialled { connection, tenure: Tenure::Unlimited });
            }
            Target::Member { retired, .. } if retired.is_cancelled() => return Err(NotDialled::Retired),
            Target::Member { client, retired } => {
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                return Ok(Dialled { connection, tenure: Tenure::Member(retired.clone()) });
            }
            Target::Named { sentinels, primary } => (sentinels, primary),
        };
        let address = sentinels.primary().await?;
        note(primary, &address);
        let client = sentinels.client(&address)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // What the Sentinels say may be older than what the server knows.
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") {
            return Err(NotDialled::NotPrimary(shown(&address)));
        }
        Ok(Dialled { connection, tenure: Tenure::Named(address, primary.subscribe()) })
    }

    /// Waits before the next attempt, but not longer than until another server is to be used.
    pub(super) async fn rest(&self, pause: Duration) {
        let pause = tokio::time::sleep(pause);
        match &*self.0 {
            // One that is retired is not connected to again.
            Target::Server(_) | Target::Member { .. } => pause.await,
            Target::Named { primary, .. } => {
                let mut named = primary.subscribe();
                tokio::select! {
                    () = pause => {}
                    _ = named.changed() => {}
                }
            }
        }
    }

    /// Asks the Sentinels again and again, so that connections to what is no longer the primary are left. Never ends
    /// by itself.
    pub(super) async fn watch(&self) {
        let Target::Named { sentinels, primary } = &*self.0 else { return std::future::pending().await };
        let mut known = true;
        loop {
            tokio::time::sleep(WATCH.mul_f64(rand::random_range(0.5..=1.0))).await;
            match sentinels.primary().await {
                Ok(address) => {
                    note(primary, &address);
                    known = true;
                }
                Err(error) if known => {
                    // The connections may well stand. Without a Sentinel there is no failover that could be missed.
                    tracing::warn!("{error}");
                    known = false;
                }
                Err(_) => {}
            }
        }
    }
}

/// The client may print its password.
impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

/// Remembers what the Sentinels name, and tells who is connected to another.
fn note(primary: &watch::Sender<Option<Address>>, address: &Address) {
    primary.send_if_modified(|known| {
        let news = known.as_ref() != Some(address);
        if news {
            tracing::info!("the sentinels name {} as the primary", shown(address));
            *known = Some(address.clone());
        }
        news
    });
}

/// A client that trusts the authorities in `ca`, or else the public ones. It is not connected yet.
pub(super) fn open(info: ConnectionInfo, ca: Option<&str>) -> RedisResult<Client> {
    match (info.addr(), ca) {
        (ConnectionAddr::TcpTls { .. }, Some(ca)) => {
            let trusted = TlsCertificates { client_tls: None, root_cert: Some(ca.as_bytes().to_vec()) };
            Client::build_with_tls(info, trusted)
        }
        _ => Client::open(info),
    }
}

pub(super) fn tuned(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(USER_TIMEOUT);
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_tcp_settings(tcp).set_redis_settings(settings)
}
