//! What a server reads of its configuration once, when it starts.

use std::net::SocketAddr;

use crate::config::{Broker, Config, Server};

/// The sections that the server was started with, which hold until it ends, whatever the files say by now.
#[derive(Debug)]
pub(super) struct Started {
    server: Server,
    broker: Broker,
}

impl Started {
    pub(super) fn with(config: &Config) -> Self {
        Self { server: config.server.clone(), broker: config.broker.clone() }
    }

    /// Where the admin listener would be open to anyone under `config`: its policy applies at once, its address does
    /// not.
    pub(super) fn admin_opened_by(&self, config: &Config) -> Option<SocketAddr> {
        let address = self.server.admin;
        (!address.ip().is_loopback() && config.server.admin_policy.is_none()).then_some(address)
    }

    /// The sections of `config` that would take a restart.
    pub(super) fn differing(&self, config: &Config) -> Vec<&'static str> {
        let server = Server { admin_policy: self.server.admin_policy.clone(), ..config.server.clone() };
        let sections = [("[server]", self.server != server), ("[broker]", self.broker != config.broker)];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
