//! `[paths]`, `[server]` and `[broker]`.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{At, BrokerUrl};

/// `[paths]`: folders that file names are confined to, resolved against the main file's folder. `None` has a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Where `schema = "..."` is looked up. Default `schemas`.
    pub schemas: Option<PathBuf>,
    /// Where `script = "..."` is looked up. Default `plugins`.
    pub plugins: Option<PathBuf>,
    /// Where accepted revisions are kept; none when they are not.
    pub generations: Option<PathBuf>,
}

/// `[server]`: restart only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where producers and subscribers connect. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Metrics, reload, explain. Default `127.0.0.1:8081`.
    pub admin: SocketAddr,
    /// The policy that callers of the admin listener must satisfy. Required when `admin` is not loopback.
    pub admin_policy: Option<At<String>>,
    /// Origins that browsers may call from (CORS), exact. Default none.
    pub allowed_origins: Vec<At<String>>,
    /// Most open connections. Default 10 000.
    pub max_connections: usize,
    /// Most open subscriptions of one principal. Default 64.
    pub max_streams_per_principal: usize,
    /// Largest request body in bytes. Default 64 KiB.
    pub max_body: usize,
    /// How long a request's head may take. Default 10 s.
    pub header_timeout: Duration,
    /// How long a request's body may take. Default 15 s.
    pub body_timeout: Duration,
    /// Between heartbeat comments, ± 20 %. Default 15 s.
    pub heartbeat: Duration,
    /// Without write progress for this long, a subscriber is closed. Default 10 s.
    pub stall_timeout: Duration,
    /// Over how long streams are ended at shutdown. Default 30 s.
    pub drain: Duration,
    /// Most records that a ring shares with readers, per stream. Default 256.
    pub ring_records: usize,
    /// Most bytes that a ring shares with readers, per stream. Default 1 MiB.
    pub ring_bytes: usize,
}

/// `broker.durability`: where a notification must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `primary`: in the Redis server that it was sent to.
    Primary,
    /// `replica:N`: in so many replicas of it as well.
    Replica(NonZeroU8),
    /// `fsync`: on the disk of the server that it was sent to.
    Fsync,
}

impl FromStr for Durability {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("replica:").map(str::parse)) {
            ("primary", _) => Ok(Self::Primary),
            ("fsync", _) => Ok(Self::Fsync),
            (_, Some(Ok(count))) => Ok(Self::Replica(count)),
            _ => Err("is none of `primary`, `replica:1` to `replica:255`, and `fsync`"),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Replica(count) => write!(f, "replica:{count}"),
            Self::Fsync => f.write_str("fsync"),
        }
    }
}

/// `[broker]`: restart only.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Default `memory:`.
    pub url: At<BrokerUrl>,
    /// The certificates, in PEM, of the authorities that certify the servers of a `rediss` URL. Default: public ones.
    pub ca: Option<String>,
    /// What every key in Redis starts with. Default `fanfare`.
    pub prefix: String,
    /// How long a publish may wait for the broker. Default 1 s.
    pub timeout: Duration,
    /// Most publishes waiting for the broker. Default 1 024.
    pub max_in_flight: usize,
    /// Where a notification must be before its producer is told that it was accepted. Default `primary`.
    pub durability: Durability,
    /// How long an idempotency key is remembered. Default 24 h.
    pub idempotency_ttl: Duration,
    /// Most channels that the memory broker keeps. Default 100 000.
    pub max_channels: usize,
}
