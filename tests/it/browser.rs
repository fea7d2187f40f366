//! A page in a real browser, with nothing but its native `EventSource`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::Html;
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{Chromium, Proxy, Redis, Scenario, TestServer, eventually, order, token};

/// Listens to the stream named in its own query, and tells everything that it sees.
const PAGE: &str = r#"<!doctype html><title>shop</title><script>
let posts = 0;
const tell = (kind, detail) => post(JSON.stringify({ post: ++posts, kind, detail }));
const post = (body) => fetch("/told", { method: "POST", body }).catch(() => setTimeout(() => post(body), 100));
const source = new EventSource("/v1/events" + location.search);
source.onopen = () => tell("open");
source.onerror = () => tell(source.readyState === EventSource.CLOSED ? "closed" : "reconnecting");
source.onmessage = (event) => tell("notification", JSON.parse(event.data));
for (const name of ["hello", "gap", "reset", "lag", "bye"]) {
  source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
}
</script>"#;

/// What a page has told, in the order in which it arrived.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Value>>>);

impl Told {
    /// The routes of the page, which a visitor with `token` gets.
    fn pages(&self, token: &str) -> Router {
        let cookie = format!("fanfare_token={token}; Path=/; HttpOnly; SameSite=Strict");
        let page = move || async move { ([(header::SET_COOKIE, cookie)], Html(PAGE)) };
        let told = async |State(told): State<Self>, body: String| told.hear(serde_json::from_str(&body).unwrap());
        Router::new().route("/shop", get(page)).route("/told", post(told)).with_state(self.clone())
    }

    /// A post whose answer was cut off comes again, from the page or by the browser itself.
    fn hear(&self, event: Value) {
        let mut told = self.0.lock();
        if told.iter().all(|known| known["post"] != event["post"]) {
            told.push(event);
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.0.lock().iter().filter(|event| event["kind"] == kind).count()
    }

    async fn until(&self, kind: &str, count: usize) {
        let what = format!("the page tells `{kind}` {count} times");
        eventually(&what, async || self.count(kind) >= count).await;
    }

    /// The numbers of the orders that arrived. The page posts them one by one, and posts may overtake each other.
    fn orders(&self) -> Vec<u64> {
        let told = self.0.lock();
        let orders = told.iter().filter(|event| event["kind"] == "notification");
        let number = |event: &Value| event["detail"]["data"]["order_id"].as_str().unwrap().parse().unwrap();
        let mut numbers: Vec<u64> = orders.map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// A server whose page has a token that expires after all else.
async fn serve(told: &Told, scenario: Scenario) -> TestServer {
    let token = token(json!({ "sub": "c7" }), Some(Duration::from_secs(3_600)));
    TestServer::start_with(scenario, told.pages(&token)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_cut_off_goes_on_by_itself_without_loss_or_repeat() {
    let told = Told::default();
    let server = serve(&told, Scenario::shop()).await;
    let proxy = Proxy::start(server.address).await;
    let _browser = Chromium::open(&format!("http://{}/shop", proxy.address));
    told.until("hello", 1).await;
    let mut number = 0;
    for cut in 1..=2 {
        for _ in 0..5 {
            server.publish(order("c7", number)).await.accepted();
            number += 1;
        }
        eventually("they arrive", async || told.orders().len() as u64 == number).await;
        proxy.cut();
        for _ in 0..5 {
            server.publish(order("c7", number)).await.accepted();
            number += 1;
        }
        told.until("hello", cut + 1).await;
        eventually("the missed ones arrive", async || told.orders().len() as u64 >= number).await;
    }
    assert_eq!(told.orders(), (0..number).collect::<Vec<_>>());
    assert_eq!((told.count("gap"), told.count("reset"), told.count("closed")), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_refused_stops_asking() {
    let told = Told::default();
    let server = serve(&told, Scenario::shop()).await;
    let _browser = Chromium::open(&format!("http://{}/shop?channel=user.c8", server.address));
    told.until("bye", 1).await;
    told.until("closed", 1).await;
    let asked = server.metric(r#"fanfare_http_requests_total{route="/v1/events",status="204"}"#).await;
    assert_eq!((asked, told.count("bye"), told.count("notification")), (1.0, 1, 0));
    assert_eq!(told.0.lock().iter().find(|event| event["kind"] == "bye").unwrap()["detail"]["code"], "forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_whose_server_restarts_finds_the_next_one() {
    let told = Told::default();
    let redis = Redis::start().await;
    let first = serve(&told, Scenario::shop().at(&redis.url())).await;
    let proxy = Proxy::start(first.address).await;
    eventually("the server is ready", async || first.send(first.get("/readyz")).await.status == 200).await;
    let _browser = Chromium::open(&format!("http://{}/shop", proxy.address));
    told.until("hello", 1).await;
    first.publish(order("c7", 0)).await.accepted();
    told.until("notification", 1).await;
    let second = serve(&told, Scenario::shop().at(&redis.url())).await;
    eventually("the next one is ready", async || second.send(second.get("/readyz")).await.status == 200).await;
    proxy.lead_to(second.address);
    first.stop().await;
    told.until("bye", 1).await;
    second.publish(order("c7", 1)).await.accepted();
    told.until("hello", 2).await;
    second.publish(order("c7", 2)).await.accepted();
    eventually("all arrive", async || told.orders().len() >= 3).await;
    assert_eq!(told.orders(), [0, 1, 2]);
    assert_eq!((told.count("gap"), told.count("reset"), told.count("closed")), (0, 0, 0));
}
