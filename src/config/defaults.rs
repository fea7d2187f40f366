//! The documented defaults of every section, once.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{At, Broker, BrokerUrl, Durability, Paths, Retention, Server, Span};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Folders beside the main file.
impl Default for Paths {
    fn default() -> Self {
        Self { schemas: Some("schemas".into()), plugins: Some("plugins".into()), generations: None }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            admin_policy: None,
            allowed_origins: Vec::new(),
            max_connections: 10_000,
            max_streams_per_principal: 64,
            max_body: 64 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            heartbeat: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(10),
            drain: MINUTE / 2,
            ring_records: 256,
            ring_bytes: 1024 * 1024,
        }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            url: At::new(BrokerUrl::Memory, Span::default()),
            ca: None,
            prefix: "fanfare".into(),
            timeout: Duration::from_secs(1),
            max_in_flight: 1_024,
            durability: Durability::Primary,
            idempotency_ttl: DAY,
            max_channels: 100_000,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { size: 100, ttl: DAY }
    }
}
