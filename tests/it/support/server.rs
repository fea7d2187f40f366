//! A server of a scenario's own, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use fanfare::app::{App, Stop};
use fanfare::hub::{Lease, LocalChannel};
use fanfare::notification::ChannelName;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::scenario::{self, Scenario};
use super::{Answer, DEADLINE, Listen, Subscriber, eventually, within_deadline};

/// A running server and its configuration.
pub(crate) struct TestServer {
    pub(crate) scenario: Scenario,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    app: App,
    client: Client,
}

impl TestServer {
    pub(crate) async fn start(scenario: Scenario) -> Self {
        Self::start_with(scenario, Router::new()).await
    }

    /// Serves `pages` as well.
    pub(crate) async fn start_with(scenario: Scenario, pages: Router) -> Self {
        let app = App::start(&scenario.path(), pages).await.unwrap_or_else(|error| panic!("{error}"));
        let client = Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        Self { scenario, address: app.address, admin: app.admin_address, app, client }
    }

    /// A token of `user`, who may listen to the own channel only.
    pub(crate) fn token(&self, user: &str) -> String {
        self.token_with(json!({ "sub": user }))
    }

    /// A token with these claims.
    pub(crate) fn token_with(&self, claims: Value) -> String {
        scenario::token(claims, Some(Duration::from_secs(3_600)))
    }

    /// A token of `user` with little time left, or with none.
    pub(crate) fn token_for(&self, user: &str, ttl: Option<Duration>) -> String {
        scenario::token(json!({ "sub": user }), ttl)
    }

    /// Publishes as the orders service.
    pub(crate) async fn publish(&self, notification: Value) -> Answer {
        self.send(self.post("/v1/notifications").body(notification.to_string())).await
    }

    /// Publishes, and repeats are harmless.
    pub(crate) async fn publish_once(&self, key: &str, notification: Value) -> Answer {
        let request = self.post("/v1/notifications").header("idempotency-key", key);
        self.send(request.body(notification.to_string())).await
    }

    /// A request of the orders service, with a JSON body still to be added.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        let request = self.anonymous_post(path);
        request.bearer_auth(self.scenario.api_key())
    }

    /// A request of nobody.
    pub(crate) fn anonymous_post(&self, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.client.post(url).header(CONTENT_TYPE, "application/json")
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.unwrap()).await
    }

    /// Puts an edit into force, unless the watcher has already.
    pub(crate) async fn apply(&self) {
        let report = self.reload().await.ok();
        assert!(report["result"] == "applied" || report["loadedBy"] == "change", "{report}");
    }

    /// Asks for a reload, and returns the answer.
    pub(crate) async fn reload(&self) -> Answer {
        self.send(self.client.post(format!("http://{}/v1/admin/reload", self.admin))).await
    }

    /// Asks what a reload would do, if one of the revisions that `if_match` names is in force.
    pub(crate) async fn reload_with(&self, query: &str, if_match: Option<&str>) -> Answer {
        let request = self.client.post(format!("http://{}/v1/admin/reload?{query}", self.admin));
        let request = if_match.into_iter().fold(request, |request, tags| request.header("if-match", tags));
        self.send(request).await
    }

    /// The revision in force, as operators see it.
    pub(crate) async fn admin_get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("http://{}{path}", self.admin))).await
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        eventually("the node is ready", async || self.send(self.get("/readyz")).await.status == 200).await;
    }

    /// Asks the admin listener, with a JSON body.
    pub(crate) async fn admin_post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send(self.client.post(format!("http://{}{path}", self.admin)).json(body)).await
    }

    /// The value of a metric without labels, or with exactly those given in its name.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin_get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Every metric of what was served: not those of the process, the broker, the connections and the requests as such.
    pub(crate) async fn served(&self) -> Vec<String> {
        let text = self.admin_get("/metrics").await.text;
        let others = ["#", "process_", "fanfare_broker_", "fanfare_connections", "fanfare_http_"];
        let served = text.lines().filter(|line| !others.iter().any(|other| line.starts_with(other)));
        served.map(str::to_owned).collect()
    }

    /// What it knows of a channel that it has.
    pub(crate) fn channel(&self, name: &str) -> Option<Arc<LocalChannel>> {
        self.app.pipeline.hub.channel(&name.parse().unwrap())
    }

    /// Opens a channel, as somebody does who subscribes.
    pub(crate) async fn open(&self, name: &str) -> Lease {
        let (name, pipeline): (ChannelName, _) = (name.parse().unwrap(), &self.app.pipeline);
        pipeline.hub.open(&name, || pipeline.broker.subscribe(&name)).await.unwrap()
    }

    /// Compares its rings with the broker, as it does twice a minute.
    pub(crate) async fn check_positions(&self) {
        let pipeline = &self.app.pipeline;
        within_deadline("positions are checked", pipeline.hub.check_positions(&*pipeline.broker)).await;
    }

    /// How a client asks for a stream of `channels`; by default with a token that may listen to all of them.
    pub(crate) fn listen(&self, channels: &[&str]) -> Listen {
        Listen::new(self.address, channels)
    }

    /// Subscribes to a channel as somebody who may, and reads the greeting.
    pub(crate) async fn subscribe(&self, channel: &str) -> Subscriber {
        self.listen(&[channel]).greeted().await
    }

    /// Comes back to a channel with a cursor, and reads the greeting.
    pub(crate) async fn resume(&self, channel: &str, cursor: &str) -> Subscriber {
        self.listen(&[channel]).cursor(cursor).greeted().await
    }

    /// Stops as on SIGTERM.
    pub(crate) async fn stop(self) -> Scenario {
        within_deadline("the server stops", self.app.stop(Stop::Drain)).await;
        self.scenario
    }

    /// Stops as on SIGINT.
    pub(crate) async fn stop_at_once(self) {
        within_deadline("the server stops", self.app.stop(Stop::AtOnce)).await;
    }
}
