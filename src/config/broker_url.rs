//! `broker.url`: read here, so that one that cannot be used is found before a server is started with it.

use std::str::FromStr;

use redis::{IntoConnectionInfo as _, RedisError};

use super::{Cluster, Secret, Sentinels};

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `memory:`.
    Memory,
    /// A URL of a single Redis server, which may have a password.
    Redis(Secret),
    /// The Redis server that Sentinels name.
    Sentinel(Sentinels),
    /// The Redis servers of a cluster.
    Cluster(Cluster),
}

/// Why a text is no [`BrokerUrl`]. Nothing of the text is repeated, as it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBrokerUrl {
    /// A cluster, written in another way than ours.
    #[error("is not `redis+cluster://host:port,host:port`: it {0}")]
    Cluster(&'static str),
    /// Sentinels, written in another way than ours.
    #[error("is not `redis+sentinel://host:port,host:port/primary/database`: it {0}")]
    Sentinel(&'static str),
    /// Anything else.
    #[error("is neither `memory:` nor the URL of a Redis server: {0}")]
    Invalid(String),
}

impl InvalidBrokerUrl {
    /// The fault without its detail, which may be a part of the URL.
    fn from_redis(error: &RedisError) -> Self {
        let told = error.to_string();
        let fault = told.split(" - ").next().unwrap_or_default();
        Self::Invalid(fault.to_owned())
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBrokerUrl> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(sentinels) = Sentinels::parse(text) {
            return sentinels.map(Self::Sentinel);
        }
        if scheme.contains("sentinel") {
            return Err(InvalidBrokerUrl::Sentinel("has another scheme"));
        }
        if let Some(cluster) = Cluster::parse(text) {
            return cluster.map(Self::Cluster);
        }
        if scheme.contains("cluster") {
            return Err(InvalidBrokerUrl::Cluster("has another scheme"));
        }
        match text.into_connection_info() {
            Ok(_) => Ok(Self::Redis(Secret::new(text))),
            Err(error) => Err(InvalidBrokerUrl::from_redis(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_one_server_are_taken() {
        assert_eq!("memory:".parse(), Ok(BrokerUrl::Memory));
        for url in ["redis://a", "rediss://u:p@a:6380/2", "redis://[::1]:6379", "unix:///run/redis.sock?pass=p"] {
            assert_eq!(url.parse(), Ok(BrokerUrl::Redis(Secret::new(url))), "{url}");
        }
    }

    #[test]
    fn others_are_refused_without_a_part_of_them() {
        let refused = |url: &str| url.parse::<BrokerUrl>().unwrap_err().to_string();
        for url in [
            "",
            "memory",
            "memory:hunter2",
            "hunter2",
            "http://user:hunter2@a",
            "redis:",
            "redis://:hunter2@",
            "redis://a/hunter2",
            "redis://a?protocol=hunter2",
            "redis://a:hunter2",
            "rediss://a#hunter2",
        ] {
            assert!(refused(url).contains("nor the URL of a Redis server: "), "{url}: {}", refused(url));
            assert!(!refused(url).contains("hunter2"), "{url}: {}", refused(url));
        }
    }
}
