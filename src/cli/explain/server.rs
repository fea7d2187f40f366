//! What only a server knows: the limit as it stands, who listens, and what was decided of late.

use std::fmt;

use anyhow::Context as _;
use clap::Args;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use uuid::Uuid;

use super::ExplainArgs;
use crate::cli::client::{CredentialArgs, accepted, admin_url, configured_admin};
use crate::config::counted;
use crate::snapshot::{DroppedBy, Told};

#[derive(Debug, Args)]
#[group(id = "asked")]
// Without a server nobody asks who wants to know.
#[command(mut_arg("token", |token| token.requires("asked")), mut_arg("key", |key| key.requires("asked")))]
pub(super) struct ServerArgs {
    /// Ask the server with this admin listener; the configuration's `server.admin` if only what follows is given
    #[arg(long, value_name = "URL", group = "asked")]
    admin: Option<String>,
    /// Ask a server whether this principal, such as app:u42, would receive it
    #[arg(long, value_name = "PRINCIPAL", group = "asked")]
    user: Option<String>,
    /// Ask a server how the limit stands for this principal, who publishes it
    #[arg(long, value_name = "PRINCIPAL", group = "asked")]
    producer: Option<String>,
    /// Ask a server what became of the notification with this id
    #[arg(long, group = "asked")]
    id: Option<Uuid>,
    #[command(flatten)]
    credential: CredentialArgs,
}

impl ServerArgs {
    pub(super) fn is_asked(&self) -> bool {
        self.admin.is_some() || self.user.is_some() || self.producer.is_some() || self.id.is_some()
    }
}

/// Asks the server, and tells its answer.
pub(super) async fn answer(args: &ExplainArgs) -> anyhow::Result<String> {
    let server = &args.server;
    let admin = admin_url(server.admin.as_deref(), || configured_admin(&args.config))?;
    let (client, asked) = (reqwest::Client::new(), questions(args));
    let request = match server.id {
        Some(id) => client.get(format!("{admin}/v1/admin/decisions/{id}?{asked}")),
        None => client
            .post(format!("{admin}/v1/admin/explain?{asked}"))
            .header(CONTENT_TYPE, "application/json")
            .body(args.notification()?),
    };
    let response =
        server.credential.authorize(request)?.send().await.with_context(|| format!("no answer from {admin}"))?;
    let body = accepted(response).await?.bytes().await?;
    let told = if args.json {
        serde_json::from_slice(&body).map(|answer: serde_json::Value| format!("{answer:#}\n"))
    } else if server.id.is_some() {
        serde_json::from_slice(&body).map(|decision: Decision| decision.to_string())
    } else {
        serde_json::from_slice(&body).map(|answer: Answer| answer.to_string())
    };
    told.with_context(|| format!("{admin} answered what is no explanation"))
}

/// What is asked besides, as a query.
fn questions(args: &ExplainArgs) -> String {
    let ServerArgs { user, producer, .. } = &args.server;
    let at = args.at.map(|at| at.to_string());
    let asked = [("at", &at), ("user", user), ("producer", producer)];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish()
}

/// The answer of `POST /v1/admin/explain`.
#[derive(Debug, Deserialize)]
struct Answer {
    revision: String,
    #[serde(rename = "type")]
    type_name: String,
    at: String,
    #[serde(flatten)]
    told: Told,
    limit: Option<Limit>,
    listeners: Vec<Listeners>,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    limit: String,
    burst: Option<u64>,
    /// None where it is not known whose it is.
    remaining: Option<u64>,
    retry_after: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Listeners {
    channel: String,
    node: usize,
    elsewhere: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct User {
    user: String,
    channels: Vec<String>,
    streams: usize,
    why: Option<String>,
}

/// The answer of `GET /v1/admin/decisions/{id}`. What was refused has no rules and no channels.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    id: String,
    #[serde(rename = "type")]
    type_name: String,
    producer: String,
    at: String,
    revision: String,
    reason: String,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Wrong>,
    #[serde(default)]
    why: Vec<String>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    channels: Vec<Sent>,
    #[serde(default)]
    dropped: Vec<DroppedBy>,
    explanation: Option<Answer>,
    /// Why there is no explanation.
    not_explained: Option<String>,
    user: Option<User>,
}

/// What is wrong with a member of a notification that was refused.
#[derive(Debug, Deserialize)]
struct Wrong {
    pointer: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Sent {
    channel: String,
    position: Option<String>,
}

/// As the command tells it without a server, and then what only the server knows.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, type_name, at, told, .. } = self;
        write!(f, "revision {revision}, type {type_name}, at {at}\n{told}")?;
        self.limit.iter().try_for_each(|limit| writeln!(f, "{limit}"))?;
        for Listeners { channel, node, elsewhere } in &self.listeners {
            let elsewhere = elsewhere.map_or_else(|| "an unknown number".to_owned(), |count| count.to_string());
            writeln!(f, "{channel}: {} on this node, {elsewhere} elsewhere", counted(*node, "listener"))?;
        }
        self.user.iter().try_for_each(|user| writeln!(f, "{user}"))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, burst, remaining, retry_after } = self;
        match (retry_after, remaining, burst) {
            (Some(seconds), _, _) => write!(f, "limit {limit}: used up, try again in {seconds} s"),
            (None, Some(remaining), Some(burst)) => write!(f, "limit {limit}: {remaining} of {burst} left"),
            (None, _, _) => write!(f, "limit {limit}: counts each producer apart, and --producer names none"),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, channels, streams, why } = self;
        match why {
            Some(why) => write!(f, "{user} would not receive it: {why}"),
            None => {
                let streams = counted(*streams, "stream");
                write!(f, "{user} would receive it on {}, by {streams}", channels.join(", "))
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, type_name, producer, at, revision, .. } = self;
        writeln!(f, "notification {id}, type {type_name}, of {producer}, at {at}, by revision {revision}")?;
        if !self.rules.is_empty() {
            writeln!(f, "        rules {}", self.rules.join(", "))?;
        }
        for Sent { channel, position } in &self.channels {
            writeln!(f, "        -> {channel}  {}", position.as_deref().unwrap_or_default())?;
        }
        for DroppedBy { rule, reason } in &self.dropped {
            writeln!(f, "        dropped by {rule}: {reason}")?;
        }
        match &self.detail {
            None => writeln!(f, "result: {}", self.reason)?,
            Some(detail) => writeln!(f, "result: {}: {detail}", self.reason)?,
        }
        for Wrong { pointer, detail } in &self.errors {
            writeln!(f, "        {pointer} {detail}")?;
        }
        self.why.iter().try_for_each(|why| writeln!(f, "        {why}"))?;
        if let Some(explanation) = &self.explanation {
            write!(f, "\nby the configuration in force now:\n{explanation}")?;
        }
        self.not_explained.iter().try_for_each(|why| writeln!(f, "not explained: {why}"))?;
        self.user.iter().try_for_each(|user| writeln!(f, "{user}"))
    }
}
