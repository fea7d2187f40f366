//! `[paths]`, `[server]` and `[broker]`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::files::named_file;
use crate::config::secret::secret;
use crate::config::table::{Item, Table};
use crate::config::{At, Broker, BrokerUrl, Code, Diagnostic, Durability, Paths, Secret, Server};
use crate::notification::Name;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn paths(table: &mut Table<'_>) -> Paths {
    let mut paths = Paths::default();
    let folder = |item: Item<'_>| item.text().map(|text| text.value.into());
    let Paths { schemas, plugins, generations } = &mut paths;
    for (key, path) in [("schemas", schemas), ("plugins", plugins), ("generations", generations)] {
        if let Some(item) = table.optional(key) {
            *path = folder(item);
        }
    }
    paths
}

pub(super) fn server(table: &mut Table<'_>) -> Server {
    let mut server = Server::default();
    table.set("listen", &mut server.listen, address);
    let admin = table.optional("admin");
    if let Some(admin) = admin.and_then(address) {
        server.admin = admin.value;
    }
    let admin_policy = table.optional("admin_policy");
    server.admin_policy = admin_policy.and_then(Item::string);
    table.set("allowed_origins", &mut server.allowed_origins, |item| item.list(origin));
    table.set("max_connections", &mut server.max_connections, |item| item.number(1..=1_000_000));
    table.set("max_streams_per_principal", &mut server.max_streams_per_principal, |item| item.number(1..=1_000_000));
    table.set("max_body", &mut server.max_body, |item| item.number(1_024..=16 * 1024 * 1024));
    table.set("header_timeout", &mut server.header_timeout, |item| item.duration(SECOND..=5 * MINUTE));
    table.set("body_timeout", &mut server.body_timeout, |item| item.duration(SECOND..=5 * MINUTE));
    table.set("heartbeat", &mut server.heartbeat, |item| item.duration(SECOND..=5 * MINUTE));
    table.set("stall_timeout", &mut server.stall_timeout, |item| item.duration(SECOND..=5 * MINUTE));
    table.set("drain", &mut server.drain, |item| item.duration(Duration::ZERO..=HOUR));
    table.set("ring_records", &mut server.ring_records, |item| item.number(1..=65_536));
    table.set("ring_bytes", &mut server.ring_bytes, |item| item.number(65_536..=1024 * 1024 * 1024));
    if let (Some(admin), None, false) = (admin, admin_policy, server.admin.ip().is_loopback()) {
        let message = format!("`admin` is {}, which others can reach, and `admin_policy` is missing", server.admin);
        admin.cx.report(
            Diagnostic::error(Code::OpenAdmin, admin.span, message).help("name a policy, or use a loopback address"),
        );
    }
    server
}

pub(super) fn broker(table: &mut Table<'_>) -> Broker {
    table.secretive();
    let mut broker = Broker::default();
    let url = table.optional("url").map(url);
    let is_known = !matches!(url, Some(None));
    if let Some(Some(url)) = url {
        broker.url = url;
    }
    broker.ca = table.optional("ca_file").and_then(authorities);
    let prefix = |item: Item<'_>| item.declared_name().map(|name| name.map(|name: Name| name.to_string()));
    table.set("prefix", &mut broker.prefix, prefix);
    table.set("timeout", &mut broker.timeout, |item| item.duration(10 * MS..=MINUTE));
    table.set("max_in_flight", &mut broker.max_in_flight, |item| item.number(1..=1_000_000));
    let durability = table.optional("durability");
    if let Some(level) = durability.and_then(|item| item.parsed(str::parse)) {
        broker.durability = level.value;
    }
    table.set("idempotency_ttl", &mut broker.idempotency_ttl, |item| item.duration(SECOND..=MONTH));
    table.set("max_channels", &mut broker.max_channels, |item| item.number(1..=100_000_000));
    if let (Some(item), BrokerUrl::Memory, Durability::Replica(_) | Durability::Fsync) =
        (durability, &broker.url.value, broker.durability)
        && is_known
    {
        let message = "`durability` takes a broker in Redis, and `url` is `memory:`";
        item.cx.report(Diagnostic::error(Code::NotDurable, item.span, message).help("leave it out, or set `url`"));
    }
    broker
}

fn address(item: Item<'_>) -> Option<At<SocketAddr>> {
    item.parsed(|text| text.parse().map_err(|_| "is not an IP address and a port, such as `127.0.0.1:8080`"))
}

/// An origin as a browser sends it (RFC 6454): compared byte for byte, so anything else would never match.
fn origin(item: Item<'_>) -> Option<At<String>> {
    item.parsed(|text| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let is_exact = !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']);
        let is_lower = !text.contains(|c: char| c.is_ascii_uppercase());
        match is_exact && is_lower {
            true => Ok(text.to_owned()),
            false => Err("is not an exact origin, such as `https://app.example.com`"),
        }
    })
}

/// A URL, which is a secret when it holds a password; one written out is taken with a warning.
fn url(item: Item<'_>) -> Option<At<BrokerUrl>> {
    let text = if item.is_table() { secret(item)? } else { item.text()?.map(Secret::new) };
    if !item.is_table() && has_password(text.expose()) {
        item.cx.redact(item.span);
        let finding =
            Diagnostic::warning(Code::PasswordInUrl, item.span, "`url` has a password in it").label("not shown");
        item.cx.report(finding.help("keep it out of the file: url = { env = \"REDIS_URL\" }"));
    }
    match text.expose().parse() {
        Ok(url) => Some(At::new(url, item.span)),
        Err(error) => {
            let finding = Diagnostic::error(Code::WrongForm, item.span, format!("`url` {error}"));
            let help = "such as `redis://host:6379/0`, `rediss://host:6379` for TLS, `redis+sentinel://a,b,c/primary`, \
                `redis+cluster://a,b,c`";
            item.cx.report(finding.help(help));
            None
        }
    }
}

/// The certificates of authorities, in PEM.
fn authorities(item: Item<'_>) -> Option<String> {
    let text = named_file(item)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        item.missing(Code::BadFile, "names a file without a certificate in PEM".to_owned());
        return None;
    }
    Some(text)
}

/// Whether there is something between a colon and the last `@` of the authority, or in the query that takes one.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
        || ["pass=", "sentinel_password="].iter().any(|parameter| url.contains(parameter))
}
