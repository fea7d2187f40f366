//! The server under load: where it is, which channels are listened to, and what is published to whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::Uri;

use super::marker::{Mark, Marks};
use crate::cli::Misused;
use crate::cli::client::{key_of_environment, token_of_environment};

/// A server of your own.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Load this server instead of one that is started for the run: http://HOST:PORT
    // Not from FANFARE_URL, as other commands take it: no server is put under load that was not named here.
    #[arg(long, requires_all = ["channel", "published"])]
    url: Option<String>,
    /// The server's process on this machine, to measure what it uses
    #[arg(long, requires = "url")]
    pub(super) pid: Option<u32>,
    // Not {n}: in a help text clap takes that for the end of a line.
    /// The channels; {i} counts from 0, such as user.{i}
    #[arg(long, value_name = "NAME", requires = "url")]
    channel: Option<String>,
    /// The type of what is published, with title and message, and userId where --channel has {i}
    #[arg(long = "type", value_name = "NAME", requires = "url", group = "published")]
    type_name: Option<String>,
    /// What is published, in JSON; {mark} must be in a text that reaches the subscriber, and {pad} (the payload), {i}
    /// and {channel} may be
    #[arg(long, value_name = "JSON", requires = "url", group = "published")]
    body: Option<String>,
    /// A JSON Web Token, to subscribe with unless --subscriber-tokens is given, and to publish with unless there is a
    /// key; by default `FANFARE_TOKEN` of the environment
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// An API key to publish with; by default `FANFARE_KEY` of the environment
    #[arg(long, requires = "url")]
    key: Option<String>,
    /// A file with a token a line to subscribe with: the first for channel 0, and so on, and again from the start
    #[arg(long, value_name = "FILE", requires = "url")]
    subscriber_tokens: Option<PathBuf>,
}

/// The server under load.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Host and port, as the URL has them.
    authority: String,
    /// The URL's path, without a slash at its end.
    base: String,
    channels: Vec<String>,
    body: Template,
    producer: Option<String>,
    /// What subscribers present, by channel in turn. Empty: nothing.
    subscribers: Vec<String>,
}

/// What a run publishes and to where, before the server is looked up.
pub(super) struct Plan<'a> {
    pub(super) url: &'a str,
    pub(super) channel: &'a str,
    pub(super) body: &'a str,
    pub(super) producer: Option<String>,
    pub(super) subscribers: Vec<String>,
}

impl TargetArgs {
    /// Whether a server was named.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// Refuses what would have no effect, where `payload` is what was asked for.
    ///
    /// # Errors
    /// Such an option was given.
    pub(super) fn check(&self, payload: Option<u32>) -> anyhow::Result<()> {
        let message = if self.token.is_some() && self.key.is_some() && self.subscriber_tokens.is_some() {
            "--token has no effect: --key publishes, and --subscriber-tokens subscribe"
        } else if payload.is_some() && self.body.as_ref().is_some_and(|body| !body.contains("{pad}")) {
            "--payload has no effect: the body has no {pad}"
        } else {
            return Ok(());
        };
        Err(Misused(message.to_owned()).into())
    }

    /// The server that was named, with so many channels and so many bytes of payload.
    pub(super) async fn find(&self, channels: usize, payload: usize) -> anyhow::Result<Target> {
        let url = self.url.as_deref().context("no --url is given")?;
        let channel = self.channel.as_deref().context("--url needs --channel")?;
        let body = match (&self.body, &self.type_name) {
            (Some(body), _) => body.clone(),
            (None, Some(name)) => {
                let user = if channel.contains("{i}") { r#""userId":"{i}","# } else { "" };
                format!(r#"{{"type":"{name}",{user}"title":"{{mark}}","message":"{{pad}}"}}"#)
            }
            (None, None) => bail!("--url needs --type or --body"),
        };
        let token = self.token.clone().map_or_else(token_of_environment, |token| Ok(Some(token)))?;
        let key = self.key.clone().map_or_else(key_of_environment, |key| Ok(Some(key)))?;
        let producer = key.or_else(|| token.clone());
        let subscribers = match &self.subscriber_tokens {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
            }
            None => Vec::from_iter(token),
        };
        Target::new(Plan { url, channel, body: &body, producer, subscribers }, channels, payload).await
    }
}

impl Target {
    /// The server of `plan`, looked up.
    pub(super) async fn new(plan: Plan<'_>, channels: usize, payload: usize) -> anyhow::Result<Self> {
        let Plan { url, channel, body, producer, subscribers } = plan;
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        ensure!(uri.scheme_str() == Some("http"), "`{url}` is not http: load the server behind what terminates TLS");
        let host = uri.host().with_context(|| format!("`{url}` names no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        // The brackets of an IPv6 address are the URL's, not the address's.
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        let address = found.with_context(|| format!("cannot find {host}"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        ensure!(
            channels == 1 || channel.contains("{i}"),
            "{channels} channels need a {{i}} in --channel, such as user.{{i}}"
        );
        ensure!(body.contains("{mark}"), "the body has no {{mark}}, by which what arrives is known");
        let sendable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(producer.iter().chain(&subscribers).all(sendable), "a credential has characters that no header takes");
        Ok(Self {
            address,
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            base: uri.path().trim_end_matches('/').to_owned(),
            channels: (0..channels).map(|n| channel.replace("{i}", &n.to_string())).collect(),
            body: Template::parse(&body.replace("{pad}", &"x".repeat(payload))),
            producer,
            subscribers,
        })
    }

    /// How many channels there are.
    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// A channel's name.
    pub(super) fn channel(&self, channel: usize) -> &str {
        &self.channels[channel]
    }

    /// The request that subscribes to a channel. It asks for refusals as statuses, so that they can be told.
    pub(super) fn subscription(&self, channel: usize) -> String {
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("channel", self.channel(channel)).finish();
        let credential = (!self.subscribers.is_empty()).then(|| &self.subscribers[channel % self.subscribers.len()]);
        format!(
            "GET {}/v1/events?{query} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\
             prefer: handling=strict\r\n{}\r\n",
            self.base,
            self.authority,
            authorization(credential),
        )
    }

    /// The request that publishes a notification.
    pub(super) fn publication(&self, marks: &Marks, mark: Mark) -> String {
        let body = self.body.fill(mark.channel, self.channel(mark.channel), &marks.write(mark));
        format!(
            "POST {}/v1/notifications HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{}\r\n{body}",
            self.base,
            self.authority,
            body.len(),
            authorization(self.producer.as_ref()),
        )
    }
}

fn authorization(credential: Option<&String>) -> String {
    credential.map(|credential| format!("authorization: Bearer {credential}\r\n")).unwrap_or_default()
}

/// A body with places that differ from one notification to the next.
#[derive(Debug)]
struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Number,
    Channel,
    Mark,
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let (mut rest, mut from) = (text, 0);
        // Braces that are no place are JSON's.
        while let Some(at) = rest[from..].find('{').map(|at| from + at) {
            let places = [("{i}", Part::Number), ("{channel}", Part::Channel), ("{mark}", Part::Mark)];
            let place = places.into_iter().find(|(name, _)| rest[at..].starts_with(name));
            let Some((name, part)) = place else {
                from = at + 1;
                continue;
            };
            parts.extend([Part::Text(rest[..at].to_owned()), part]);
            (rest, from) = (&rest[at + name.len()..], 0);
        }
        parts.push(Part::Text(rest.to_owned()));
        Self(parts)
    }

    fn fill(&self, number: usize, channel: &str, mark: &str) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Number => filled.push_str(&number.to_string()),
                Part::Channel => filled.push_str(channel),
                Part::Mark => filled.push_str(mark),
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(url: &'static str) -> Plan<'static> {
        Plan {
            url,
            channel: "user.{i}",
            body: r#"{"a":{"b":"{mark}"},"n":"{i}"}"#,
            producer: None,
            subscribers: Vec::new(),
        }
    }

    #[test]
    fn a_body_is_filled_and_its_own_braces_stay() {
        let template = Template::parse(r#"{"a":{"n":"{i}","c":"{channel}"},"t":"{mark}","x":"{other}"}"#);
        assert_eq!(template.fill(7, "user.7", "m"), r#"{"a":{"n":"7","c":"user.7"},"t":"m","x":"{other}"}"#);
    }

    #[tokio::test]
    async fn requests_are_what_the_server_reads() {
        let named = Plan {
            producer: Some("p".into()),
            subscribers: vec!["a".into(), "b".into()],
            ..plan("http://127.0.0.1:81/x/")
        };
        let target = Target::new(named, 3, 2).await.unwrap();
        let subscription = target.subscription(1);
        assert!(subscription.starts_with("GET /x/v1/events?channel=user.1 HTTP/1.1\r\nhost: 127.0.0.1:81\r\n"));
        assert!(subscription.ends_with("\r\nauthorization: Bearer b\r\n\r\n"), "{subscription}");
        assert!(target.subscription(2).contains("Bearer a"));
        let marks = Marks::new(1);
        let publication = target.publication(&marks, Mark { publisher: 0, channel: 2, seq: 5, sent: 9 });
        let body = format!(r#"{{"a":{{"b":"{}"}},"n":"2"}}"#, "bench~00000001~0.2.5.9~");
        let head = format!("content-length: {}\r\nauthorization: Bearer p\r\n\r\n{body}", body.len());
        assert!(publication.ends_with(&head), "{publication}");
    }

    #[tokio::test]
    async fn what_cannot_be_loaded_is_refused() {
        let refused = async |plan, channels| format!("{:#}", Target::new(plan, channels, 1).await.unwrap_err());
        assert!(refused(plan("https://127.0.0.1"), 1).await.contains("not http"));
        assert!(refused(plan("127.0.0.1:80"), 1).await.contains("no"));
        assert!(refused(Plan { channel: "ops.all", ..plan("http://127.0.0.1:1") }, 2).await.contains("{i}"));
        assert!(refused(Plan { body: "{}", ..plan("http://127.0.0.1:1") }, 1).await.contains("{mark}"));
        let split = Plan { producer: Some("a\r\nb".into()), ..plan("http://127.0.0.1:1") };
        assert!(refused(split, 1).await.contains("credential"));
    }
}
