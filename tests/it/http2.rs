//! Several streams on one HTTP/2 connection, as browsers open them behind a proxy.

use std::time::Duration;

use crate::support::{Http2, Scenario, TestServer, eventually, order, with};

#[tokio::test]
async fn the_end_of_one_stream_leaves_the_others_of_its_connection_open() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut connection = Http2::connect(&server).await;
    let soon_over = server.token_for("c8", Some(Duration::from_secs(2)));
    let mut short = connection.subscribe(&server, &soon_over).await;
    let mut long = connection.subscribe(&server, &server.token("c7")).await;
    let bye = short.next().await.unwrap();
    assert_eq!((bye.name.as_deref(), bye.json()["code"].as_str()), (Some("bye"), Some("token_expired")));
    assert_eq!(short.next().await, None);
    // For longer than a connection may take to end when it was asked to.
    for number in 1..=30 {
        server.publish(order("c7", number)).await.accepted();
        let event = long.next().await.expect("the stream ended");
        assert_eq!(event.json()["data"]["order_id"], number.to_string());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A proxy carries many users on one connection: one of them must not end the streams of the others.
#[tokio::test]
async fn a_stalled_stream_is_ended_alone() {
    let server = TestServer::start(Scenario::shop().server("stall_timeout = \"1s\"")).await;
    let mut connection = Http2::connect(&server).await;
    let stalled = connection.subscribe(&server, &server.token("c8")).await;
    let mut healthy = connection.subscribe(&server, &server.token("c7")).await;
    let long = "x".repeat(16_000);
    let closed = r#"fanfare_stream_closes_total{reason="stalled"}"#;
    let mut number = 0;
    eventually("the stalled stream is ended", async || {
        for _ in 0..20 {
            number += 1;
            server.publish(with(order("c8", number), "message", long.clone())).await.accepted();
            server.publish(order("c7", number)).await.accepted();
            let event = healthy.next().await.expect("the stream ended");
            assert_eq!(event.json()["data"]["order_id"], number.to_string());
        }
        server.metric(closed).await == 1.0
    })
    .await;
    assert_eq!(server.metric("fanfare_subscribers").await, 1.0);
    drop(stalled);
    server.publish(order("c7", "last")).await.accepted();
    assert_eq!(healthy.next().await.expect("the stream ended").json()["data"]["order_id"], "last");
    connection.subscribe(&server, &server.token("c8")).await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_here_too() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut connection = Http2::connect(&server).await;
    let mut streams = [
        connection.subscribe(&server, &server.token("c7")).await,
        connection.subscribe(&server, &server.token("c8")).await,
    ];
    server.stop().await;
    for stream in &mut streams {
        let bye = stream.next().await.unwrap();
        assert_eq!((bye.name.as_deref(), bye.json()["code"].as_str()), (Some("bye"), Some("draining")));
        assert_eq!(stream.next().await, None);
    }
}
