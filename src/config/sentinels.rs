//! `redis+sentinel://…`: where Redis Sentinel is, and what to ask it for.

use redis::{IntoConnectionInfo as _, parse_redis_url};

use super::{InvalidBrokerUrl, Secret};

/// Where a Sentinel listens unless the URL says otherwise.
const PORT: u16 = 26_379;

/// The Sentinels that know which server is the primary, and how to log in at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// Host and port of each Sentinel.
    pub addresses: Vec<(String, u16)>,
    /// What the Sentinels call the primary.
    pub primary: String,
    /// The number of the database.
    pub database: i64,
    /// What connections to servers and to Sentinels go through.
    pub transport: Transport,
    /// For the servers.
    pub login: Login,
    /// For the Sentinels.
    pub sentinel_login: Login,
}

/// What a connection goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP as it is.
    Plain,
    /// TLS.
    Tls,
}

/// An ACL user and its password; with a password alone it is the default user's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

impl Sentinels {
    /// Reads `redis+sentinel://user:password@host:port,…/primary/database?sentinel_user=…&sentinel_password=…`, of which
    /// only a host and the primary must be there; with `rediss` for TLS. None for another scheme.
    pub(super) fn parse(text: &str) -> Option<Result<Self, InvalidBrokerUrl>> {
        let (scheme, rest) = text.split_once("://")?;
        let transport = match scheme {
            "redis+sentinel" => Transport::Plain,
            "rediss+sentinel" => Transport::Tls,
            _ => return None,
        };
        Some(Self::parse_rest(rest, transport).map_err(InvalidBrokerUrl::Sentinel))
    }

    fn parse_rest(rest: &str, transport: Transport) -> Result<Self, &'static str> {
        if rest.contains('#') {
            return Err("has a `#`");
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let (primary, database) = path.split_once('/').unwrap_or((path, ""));
        let addresses =
            hosts.split(',').map(|host| address(host, PORT)).collect::<Option<_>>().ok_or("has a host that is none")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if primary.is_empty() || !primary.bytes().all(is_name) {
            return Err("does not name the primary");
        }
        let (login, database) = server(user, database).ok_or("has a user, a password or a database that is none")?;
        let sentinel_login = sentinel_login(query).ok_or("has a parameter that is not known")?;
        Ok(Self { addresses, primary: primary.to_owned(), database, transport, login, sentinel_login })
    }
}

/// `host`, `host:port` or `[v6]:port`.
pub(super) fn address(text: &str, usual: u16) -> Option<(String, u16)> {
    let url = format!("redis://{text}");
    let port = parse_redis_url(&url)?.port().unwrap_or(usual);
    match url.into_connection_info().ok()?.addr() {
        redis::ConnectionAddr::Tcp(host, _) if !host.is_empty() => Some((host.clone(), port)),
        _ => None,
    }
}

/// What the client makes of the user and the database of any server's URL.
pub(super) fn server(user: &str, database: &str) -> Option<(Login, i64)> {
    let at = if user.is_empty() { "" } else { "@" };
    let info = format!("redis://{user}{at}host/{database}").into_connection_info().ok()?;
    let settings = info.redis_settings();
    let login = Login {
        user: settings.username().map(str::to_owned),
        password: settings.password().map(|password| Secret::new(password.to_owned())),
    };
    (settings.db() >= 0).then(|| (login, settings.db()))
}

fn sentinel_login(query: &str) -> Option<Login> {
    let mut login = Login::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "sentinel_user" => login.user = Some(value.into_owned()),
            "sentinel_password" => login.password = Some(Secret::new(value.into_owned())),
            _ => return None,
        }
    }
    Some(login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerUrl;

    fn parsed(url: &str) -> Sentinels {
        match url.parse() {
            Ok(BrokerUrl::Sentinel(sentinels)) => sentinels,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_host_and_the_primary_are_enough() {
        let sentinels = parsed("redis+sentinel://a/main");
        assert_eq!(sentinels.addresses, [("a".to_owned(), 26_379)]);
        assert_eq!((&*sentinels.primary, sentinels.database, sentinels.transport), ("main", 0, Transport::Plain));
        assert_eq!((sentinels.login, sentinels.sentinel_login), (Login::default(), Login::default()));
    }

    #[test]
    fn everything_may_be_said() {
        let url = "rediss+sentinel://app:p%40ss@a:1,10.0.0.2,[::1]:3/main/5?sentinel_user=s&sentinel_password=h%26x";
        let sentinels = parsed(url);
        let addresses = [("a", 1), ("10.0.0.2", 26_379), ("::1", 3)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(sentinels.addresses, addresses);
        assert_eq!((&*sentinels.primary, sentinels.database, sentinels.transport), ("main", 5, Transport::Tls));
        let login = |user: &str, password: &str| Login {
            user: Some(user.to_owned()),
            password: Some(Secret::new(password.to_owned())),
        };
        assert_eq!((sentinels.login, sentinels.sentinel_login), (login("app", "p@ss"), login("s", "h&x")));
        assert!(!format!("{:?}", parsed(url)).contains("p@ss"));
    }

    #[test]
    fn others_are_refused_without_a_part_of_them() {
        for url in [
            "redis+sentinel://hunter2",
            "redis+sentinel:///hunter2",
            "redis+sentinel://hunter2,/main",
            "redis+sentinel://a:hunter2/main",
            "redis+sentinel://a/hunter2!",
            "redis+sentinel://a/main/hunter2",
            "redis+sentinel://a/main/-1?hunter2",
            "redis+sentinel://a/main?password=hunter2",
            "redis+sentinel://a/main#hunter2",
            "sentinel://a/main?hunter2",
        ] {
            let refused = url.parse::<BrokerUrl>().unwrap_err().to_string();
            assert!(refused.contains("redis+sentinel://") && !refused.contains("hunter2"), "{url}: {refused}");
        }
    }
}
