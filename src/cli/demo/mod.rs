//! `fanfare demo`: the main job on one screen.

mod scene;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use clap::Args;
use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use super::print;
use crate::app::{App, Stop};
use scene::{Scene, USER};

/// The page that the demo serves, which is also the example for browsers.
const PAGE: &str = include_str!("../../../examples/browser/index.html");
/// Between two notifications.
const PAUSE: Duration = Duration::from_millis(1_500);
/// For all of `--once`.
const PATIENCE: Duration = Duration::from_secs(30);
/// Notifications that `--once` waits for.
const ONCE: usize = 3;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after three notifications were delivered
    #[arg(long)]
    once: bool,
    /// The port of the server and its page; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Starts a server on the quickstart, publishes to it, and prints what a subscriber receives.
pub(super) async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let scene = Scene::set(args.port)?;
    let cookie = format!("fanfare_token={}; Path=/; HttpOnly; SameSite=Strict", scene.subscriber_token()?);
    let page = Router::new().route("/", get(async move || ([(header::SET_COOKIE, cookie)], Html(PAGE))));
    let app = App::start(scene.config(), page).await?;
    let url = format!("http://{}", app.address);
    print(&format!(
        "fanfare {} serves the quickstart, with the broker in memory\n\n  live page  {url}\n  metrics    http://{}/metrics\n\n",
        env!("CARGO_PKG_VERSION"),
        app.admin_address
    ))?;
    // A proxy of the environment would look for this server on its own loopback.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut demo = Demo { url, client, producer_token: scene.producer_token()?, rules: HashMap::new(), published: 0 };
    let arrivals = demo.subscribe(&scene.subscriber_token()?).await?;
    let shown = if args.once {
        tokio::time::timeout(PATIENCE, demo.run(arrivals, Some(ONCE))).await.context("nothing arrived in time")?
    } else {
        tokio::select! {
            shown = demo.run(arrivals, None) => shown,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    };
    app.stop(Stop::AtOnce).await;
    shown.map(|()| ExitCode::SUCCESS)
}

struct Demo {
    url: String,
    client: reqwest::Client,
    producer_token: String,
    /// The rules that routed each notification, from its receipt.
    rules: HashMap<String, String>,
    published: usize,
}

impl Demo {
    /// Publishes in turn and prints each notification as it arrives, until `most` have.
    async fn run(
        &mut self,
        mut arrivals: impl Stream<Item = Value> + Unpin,
        most: Option<usize>,
    ) -> anyhow::Result<()> {
        let mut pause = tokio::time::interval(PAUSE);
        let mut arrived = 0;
        while most.is_none_or(|most| arrived < most) {
            tokio::select! {
                notification = arrivals.next() => {
                    let Some(notification) = notification else { bail!("the stream ended") };
                    self.show(&notification)?;
                    arrived += 1;
                }
                _ = pause.tick() => self.publish().await?,
            }
        }
        Ok(())
    }

    /// The producer: one notification over HTTP.
    async fn publish(&mut self) -> anyhow::Result<()> {
        let notification = scene::notification(self.published);
        self.published += 1;
        let request = self.client.post(format!("{}/v1/notifications", self.url)).json(&notification);
        let response = request.bearer_auth(&self.producer_token).send().await?;
        let receipt: Value = super::client::accepted(response).await?.json().await?;
        let names = receipt["rules"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let rules = names.collect::<Vec<_>>().join(", ");
        if receipt["channels"].as_array().is_some_and(Vec::is_empty) {
            let reason = receipt["dropped"][0]["reason"].as_str().unwrap_or_default();
            print(&format!("  dropped    {} by {rules}: {reason}\n", text(&notification, "type")))?;
        }
        self.rules.insert(text(&receipt, "id").to_owned(), rules);
        Ok(())
    }

    /// The subscriber: a stream of Server-Sent Events, as a browser would open it.
    async fn subscribe(&self, token: &str) -> anyhow::Result<impl Stream<Item = Value> + Unpin + use<>> {
        let url = format!("{}/v1/events?channel=user.{USER}&channel=ops.all", self.url);
        let response = self.client.get(url).bearer_auth(token).send().await?;
        let events = super::client::accepted(response).await?.bytes_stream().eventsource();
        let notification = async |event: Result<eventsource_stream::Event, _>| {
            let event = event.ok().filter(|event| event.event == "message")?;
            serde_json::from_str(&event.data).ok()
        };
        Ok(Box::pin(events.filter_map(notification)))
    }

    fn show(&mut self, notification: &Value) -> anyhow::Result<()> {
        let rule = self.rules.get(text(notification, "id")).map_or("", String::as_str);
        print(&format!(
            "  {:<10} {:<9} {:<15} by {:<16} {}\n",
            text(notification, "channel"),
            text(notification, "priority"),
            text(notification, "type"),
            rule,
            text(notification, "title"),
        ))
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
