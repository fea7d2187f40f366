//! `fanfare subscribe`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use eventsource_stream::{Event, Eventsource};
use futures_util::StreamExt;
use reqwest::header::ACCEPT;

use super::client::{ClientArgs, accepted};
use super::print;

/// Until the server says otherwise.
const RETRY: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct SubscribeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The channels; those of the token's owner when none is named
    channels: Vec<String>,
    /// Begin with the last N of each channel
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Print system events too, such as hello and gap
    #[arg(long)]
    system: bool,
}

/// Prints one notification a line, and reconnects for ever, where it left off.
pub(super) async fn subscribe(args: SubscribeArgs) -> anyhow::Result<ExitCode> {
    let base = format!("{}/v1/events", args.client.url()?);
    let mut query: Vec<(&str, String)> = args.channels.iter().map(|channel| ("channel", channel.clone())).collect();
    query.extend(args.last.map(|count| ("last", count.to_string())));
    let mut reader = Subscriber { url: format!("{base}?{}", encode(&query)), args, cursor: None, retry: RETRY };
    loop {
        match reader.listen().await {
            Ok(()) => tracing::info!("the stream ended; reconnecting"),
            // The first connection fails loudly: most likely the address or the token is wrong.
            Err(error) if reader.cursor.is_none() => return Err(error),
            Err(error) => tracing::warn!("{error:#}; reconnecting"),
        }
        tokio::time::sleep(reader.retry).await;
    }
}

fn encode(query: &[(&str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}

struct Subscriber {
    url: String,
    args: SubscribeArgs,
    cursor: Option<String>,
    retry: Duration,
}

impl Subscriber {
    /// One connection, until it ends.
    async fn listen(&mut self) -> anyhow::Result<()> {
        // To whom takes anything a refusal is a status, and a channel that is gone is no reason for one.
        let request = self.args.client.authorize(reqwest::Client::new().get(&self.url).header(ACCEPT, "*/*"))?;
        let request = match &self.cursor {
            Some(cursor) => request.header("last-event-id", cursor),
            None => request,
        };
        let response = request.send().await.with_context(|| format!("cannot reach {}", self.url))?;
        let mut events = accepted(response).await?.bytes_stream().eventsource();
        while let Some(event) = events.next().await {
            self.take(event.context("the stream broke")?)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        if !event.id.is_empty() {
            self.cursor = Some(event.id);
        }
        self.retry = event.retry.unwrap_or(self.retry);
        let is_system = matches!(&*event.event, "hello" | "gap" | "reset" | "lag" | "gone" | "bye");
        match (is_system, self.args.system) {
            (false, _) => print(&format!("{}\n", event.data)),
            (true, true) => print(&format!("{} {}\n", event.event, event.data)),
            (true, false) if matches!(&*event.event, "gap" | "reset" | "lag" | "gone") => {
                tracing::warn!("{}: {}", event.event, event.data);
                Ok(())
            }
            (true, false) => Ok(()),
        }
    }
}
