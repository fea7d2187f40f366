//! `redis+cluster://…`: which servers know Redis Cluster, and how to log in at all of them.

use super::sentinels::{address, server};
use super::{InvalidBrokerUrl, Login, Transport};

/// Where a server listens unless the URL says otherwise.
const PORT: u16 = 6_379;

/// Servers that share the channels among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Host and port of those that are asked first who has what. The others are known from them.
    pub seeds: Vec<(String, u16)>,
    /// What connections go through.
    pub transport: Transport,
    /// For every server.
    pub login: Login,
}

impl Cluster {
    /// Reads `redis+cluster://user:password@host:port,…`, of which only a host must be there; with `rediss` for TLS.
    /// None for another scheme.
    pub(super) fn parse(text: &str) -> Option<Result<Self, InvalidBrokerUrl>> {
        let (scheme, rest) = text.split_once("://")?;
        let transport = match scheme {
            "redis+cluster" => Transport::Plain,
            "rediss+cluster" => Transport::Tls,
            _ => return None,
        };
        Some(Self::parse_rest(rest, transport).map_err(InvalidBrokerUrl::Cluster))
    }

    fn parse_rest(rest: &str, transport: Transport) -> Result<Self, &'static str> {
        if rest.contains(['#', '?']) {
            return Err("has a `#` or a `?`");
        }
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        // What a cluster has is in the one database that it knows.
        if !["", "0"].contains(&database) {
            return Err("has a database other than 0");
        }
        let seeds = hosts.split(',').map(|host| address(host, PORT)).collect::<Option<_>>();
        let (login, _) = server(user, "").ok_or("has a user or a password that is none")?;
        Ok(Self { seeds: seeds.ok_or("has a host that is none")?, transport, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BrokerUrl, Secret};

    fn parsed(url: &str) -> Cluster {
        match url.parse() {
            Ok(BrokerUrl::Cluster(cluster)) => cluster,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_host_is_enough() {
        let cluster = parsed("redis+cluster://a");
        assert_eq!(cluster.seeds, [("a".to_owned(), 6_379)]);
        assert_eq!((cluster.transport, cluster.login), (Transport::Plain, Login::default()));
    }

    #[test]
    fn everything_may_be_said() {
        let url = "rediss+cluster://app:p%40ss@a:1,10.0.0.2,[::1]:3/0";
        let cluster = parsed(url);
        let seeds = [("a", 1), ("10.0.0.2", 6_379), ("::1", 3)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(cluster.seeds, seeds);
        let login = Login { user: Some("app".to_owned()), password: Some(Secret::new("p@ss".to_owned())) };
        assert_eq!((cluster.transport, cluster.login), (Transport::Tls, login));
        assert!(!format!("{:?}", parsed(url)).contains("p@ss"));
    }

    #[test]
    fn others_are_refused_without_a_part_of_them() {
        for url in [
            "redis+cluster://",
            "redis+cluster://a,,hunter2",
            "redis+cluster://a:hunter2",
            "redis+cluster://a/3hunter2",
            "redis+cluster://a/1",
            "redis+cluster://a?password=hunter2",
            "redis+cluster://a#hunter2",
            "redis-cluster://hunter2",
            "cluster://a/hunter2",
        ] {
            let refused = url.parse::<BrokerUrl>().unwrap_err().to_string();
            assert!(refused.contains("redis+cluster://") && !refused.contains("hunter2"), "{url}: {refused}");
        }
    }
}
