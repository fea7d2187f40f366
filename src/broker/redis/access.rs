//! How to connect to a server that is known by its address alone.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, RedisResult};

use super::dialer::{open, tuned};
use crate::config::{Login, Transport};

/// Host and port.
pub(super) type Address = (String, u16);

/// What all servers that are used together have in common.
#[derive(Clone)]
pub(super) struct Access {
    transport: Transport,
    settings: RedisConnectionInfo,
    /// The authorities that certify them, if they are not public ones.
    ca: Option<String>,
}

impl Access {
    pub(super) fn new(transport: Transport, login: &Login, database: i64, ca: Option<&str>) -> Self {
        Self { transport, settings: settings(login).set_db(database), ca: ca.map(str::to_owned) }
    }

    /// A client of the server at an address. It is not connected yet.
    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        open(tuned(self.info(address)?), self.ca.as_deref())
    }

    fn info(&self, (host, port): &Address) -> RedisResult<ConnectionInfo> {
        let host = host.clone();
        let port = *port;
        let place = match self.transport {
            Transport::Tls => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            Transport::Plain => ConnectionAddr::Tcp(host, port),
        };
        Ok(place.into_connection_info()?.set_redis_settings(self.settings.clone()))
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

/// As people write it.
pub(super) fn shown((host, port): &Address) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
