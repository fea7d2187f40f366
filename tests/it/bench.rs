//! `fanfare bench`: what it measures, whom it can load, and that it finds out a server that is at fault.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, fanfare};

const ORDER: &str = r#"{"type":"order.updated","userId":"u{i}","title":"{mark}","message":"{pad}",
    "data":{"order_id":"{i}","status":"paid","seller_team_id":"t2","total_cents":1}}"#;

fn bench(arguments: &[&str]) -> Output {
    fanfare(&["bench"]).args(arguments).output().unwrap()
}

/// Without a warm-up, so that what a small run counts is known.
fn small(arguments: &[&str]) -> Output {
    let size = ["--subscribers", "20", "--channels", "2", "--messages", "50", "--warmup", "0s", "--drain", "1s"];
    bench(&[&size, arguments].concat())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(output)))
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_needs_nothing_but_the_program() {
    let run = small(&[]);
    let table = String::from_utf8(run.stdout.clone()).unwrap();
    assert!(run.status.success(), "{table}{}", err(&run));
    for part in
        ["20 subscribers, 2 channels, 1 publisher flat out", "lost 0   doubled 0   out of order 0   crossed 0", "p99.9"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().any(|row| row.starts_with(&["published", "50"])), "{table}");
    assert!(rows.iter().any(|row| row.starts_with(&["delivered", "500"])), "{table}");
}

#[test]
fn machines_read_the_same() {
    let run = small(&["--json", "--rate", "500", "--publishers", "3", "--payload", "2000"]);
    assert!(run.status.success(), "{}", err(&run));
    let report = json(&run);
    assert_eq!((&report["published"], &report["delivered"]), (&json!(50), &json!(500)), "{report}");
    assert_eq!((&report["lost"], &report["load"]["rate"]), (&json!(0), &json!(500)));
    let latency = |name: &str| report["latencyMs"][name].as_f64().unwrap();
    assert!(0.0 < latency("p50") && latency("p50") <= latency("p99.9") && latency("p99.9") <= latency("max") * 1.01);
    // 49 intervals of 2 ms.
    assert!(report["publishesPerSecond"].as_f64().unwrap() < 550.0, "{report}");
    if cfg!(target_os = "linux") {
        assert!(report["server"]["memoryKib"].as_u64().unwrap() > 1_000, "{report}");
        assert_ne!(report["server"]["pid"], report["generator"]["pid"]);
    }
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let nothing = bench(&["--duration", "0s", "--warmup", "0s"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(err(&nothing).contains("nothing was published"), "{}", err(&nothing));
    assert!(nothing.stdout.is_empty());
    let files = bench(&["--subscribers", "1000000"]);
    let refused = err(&files);
    assert!(refused.contains("ulimit -Hn") || refused.contains("cannot be raised"), "{refused}");
    let nobody = small(&["--url", "http://127.0.0.1:1", "--channel", "a", "--channels", "1", "--type", "b"]);
    assert_eq!(nobody.status.code(), Some(2), "channels twice");
    let nobody = bench(&["--url", "http://127.0.0.1:1", "--channel", "a", "--type", "b"]);
    assert!(err(&nobody).contains("cannot connect"), "{}", err(&nobody));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_your_own_can_be_loaded() {
    let server = TestServer::start(Scenario::shop()).await;
    let tokens = server.scenario.file("tokens");
    std::fs::write(&tokens, format!("{}\n{}\n", server.token("u0"), server.token("u1"))).unwrap();
    let url = format!("http://{}/", server.address);
    let pid = std::process::id().to_string();
    let run = small(&[
        "--json",
        "--url",
        &url,
        "--pid",
        &pid,
        "--channel",
        "user.u{i}",
        "--body",
        ORDER,
        "--key",
        server.scenario.api_key(),
        "--subscriber-tokens",
        tokens.to_str().unwrap(),
    ]);
    assert!(run.status.success(), "{}", err(&run));
    assert_eq!((&json(&run)["delivered"], &json(&run)["server"]["pid"]), (&json!(500), &json!(std::process::id())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_is_told() {
    let server = TestServer::start(Scenario::shop()).await;
    let url = format!("http://{}", server.address);
    let token = server.token("u0");
    let load = |arguments: &[&str]| {
        let size = ["--subscribers", "2", "--messages", "2", "--url", &url, "--channel", "user.u{i}"];
        let run = bench(&[&size, arguments].concat());
        assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0), "{}", err(&run));
        err(&run)
    };
    let key = server.scenario.api_key();
    let nobody = load(&["--body", ORDER]);
    assert!(nobody.contains("subscriber 0 on `user.u0`") && nobody.contains("401"), "{nobody}");
    let stranger = load(&["--body", ORDER, "--token", &server.token("u1")]);
    assert!(stranger.contains("403"), "{stranger}");
    let invalid = load(&["--type", "order.updated", "--token", &token, "--key", key]);
    assert!(invalid.contains("publisher 0, to `user.u0`") && invalid.contains("/data"), "{invalid}");
    let elsewhere = load(&["--body", &ORDER.replace("u{i}", "u7"), "--token", &token, "--key", key]);
    assert!(elsewhere.contains("the server sends it to [\"user.u7\"], and not to `user.u0`"), "{elsewhere}");
}

/// The subscribers of a server that is at fault.
type Streams = [TcpStream; 2];

/// A server of one publisher and of a subscriber on each of two channels, that is at fault.
struct FaultyServer(SocketAddr);

impl FaultyServer {
    /// `deliver` gets each event with its number, and does as it pleases.
    fn start(deliver: impl FnMut(usize, &str, &mut Streams) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener, deliver));
        Self(address)
    }

    fn load(&self) -> Value {
        let url = format!("http://{}", self.0);
        let size = ["--json", "--subscribers", "2", "--channels", "2", "--messages", "20", "--drain", "200ms"];
        let target = ["--warmup", "0s", "--url", &url, "--channel", "c{i}", "--body", "{\"m\":\"{mark}\"}"];
        let run = bench(&[&size[..], &target].concat());
        assert_eq!(run.status.code(), Some(1), "{}", err(&run));
        let report = json(&run);
        json!(["lost", "doubled", "outOfOrder", "crossed"].map(|fault| report[fault].clone()))
    }
}

fn serve(listener: &TcpListener, mut deliver: impl FnMut(usize, &str, &mut Streams)) {
    let mut subscribers = [(); 2].map(|()| {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut BufReader::new(stream.try_clone().unwrap())).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nevent: hello\ndata: {}\n\n").unwrap();
        stream
    });
    let (mut publisher, _) = listener.accept().unwrap();
    let mut requests = BufReader::new(publisher.try_clone().unwrap());
    let mut number = 0;
    while let Some(body) = read_request(&mut requests) {
        deliver(number, &format!("data: {body}\n\n"), &mut subscribers);
        let receipt = json!({ "channels": [{ "channel": format!("c{}", number % 2) }] }).to_string();
        let answer = format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{receipt}", receipt.len());
        publisher.write_all(answer.as_bytes()).unwrap();
        number += 1;
    }
}

/// The body of the next request; none at the end.
fn read_request(requests: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn send(to: &mut TcpStream, event: &str) {
    to.write_all(event.as_bytes()).unwrap();
}

/// Events are for either channel in turn: number 8 is the fifth of the first.
#[test]
fn a_server_at_fault_is_found_out() {
    let loses = FaultyServer::start(|number, event, to| {
        if number != 8 {
            send(&mut to[number % 2], event);
        }
    });
    assert_eq!(loses.load(), json!([1, 0, 0, 0]));
    let loses_the_last = FaultyServer::start(|number, event, to| {
        if number < 18 {
            send(&mut to[number % 2], event);
        }
    });
    assert_eq!(loses_the_last.load(), json!([2, 0, 0, 0]));
    let doubles = FaultyServer::start(|number, event, to| {
        send(&mut to[number % 2], &event.repeat(if number == 8 { 2 } else { 1 }));
    });
    assert_eq!(doubles.load(), json!([0, 1, 0, 0]));
    let crosses = FaultyServer::start(|number, event, to| {
        send(&mut to[number % 2], event);
        if number == 8 {
            send(&mut to[1], event);
        }
    });
    assert_eq!(crosses.load(), json!([0, 0, 0, 1]));
    let mut held = String::new();
    let swaps = FaultyServer::start(move |number, event, to| match number {
        8 => event.clone_into(&mut held),
        10 => send(&mut to[0], &format!("{event}{held}")),
        _ => send(&mut to[number % 2], event),
    });
    assert_eq!(swaps.load(), json!([0, 0, 1, 0]));
}
