//! A channel is declared no more: whoever listens to others as well is told, keeps those, and may come back.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Listen, Scenario, Subscriber, TestServer, order, with};

const TEAM: &str = "[channels.team]\npattern = \"team.{team}\"\nsubscribe = \"team-members\"\nevent = \"type\"\n";
const BOTH: [&str; 2] = ["team.t2", "user.c7"];

/// Takes the teams' channel out of the configuration. Returns what it was before.
async fn remove_teams(server: &TestServer) -> String {
    let notable = |to: &str| format!("\"data.total_cents\" = {{ gte = 100_000 }} }}\nto = [\"{to}\"]");
    let text = fs::read_to_string(server.scenario.path()).unwrap();
    let narrower = text.replace(TEAM, "").replace(&notable("team.{data.seller_team_id}"), &notable("ops.all"));
    assert_eq!(narrower.matches("team.{").count(), 0);
    server.scenario.write(&narrower);
    text
}

/// An order that reaches both channels.
fn notable(number: u64) -> Value {
    with(order("c7", number), "data.total_cents", 200_000)
}

/// The greeting of who listens to one channel and asked for both.
async fn told_gone(listen: Listen) -> Subscriber {
    let mut stream = listen.open().await;
    assert_eq!(stream.next_event("hello").await.json()["channels"], json!(["user.c7"]));
    assert_eq!(stream.next_event("gone").await.json(), json!({ "channel": "team.t2", "code": "removed" }));
    stream
}

#[tokio::test]
async fn a_stream_is_told_of_a_channel_that_is_gone_and_goes_on() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut both = server.listen(&BOTH).greeted().await;
    let mut plain = server.listen(&BOTH).http_1_0().greeted().await;
    let mut member = server.subscribe("team.t2").await;
    let text = remove_teams(&server).await;
    let report = server.reload().await.ok();
    assert_eq!((&report["endedStreams"], &report["narrowedStreams"]), (&json!(1), &json!(2)), "{report}");
    assert_eq!(member.next_event("bye").await.json()["code"], "revoked");
    for stream in [&mut both, &mut plain] {
        let gone = stream.next_event("gone").await.json();
        assert_eq!(gone, json!({ "channel": "team.t2", "code": "removed" }));
    }
    // Declared again, it is a new channel, for new streams.
    server.scenario.write(&text);
    assert_eq!(server.reload().await.ok()["narrowedStreams"], 0);
    server.publish(notable(2)).await.accepted();
    server.publish(order("c7", 3)).await.accepted();
    for stream in [&mut both, &mut plain] {
        for number in ["2", "3"] {
            let next = stream.next_notification().await;
            assert_eq!((&next["channel"], &next["data"]["order_id"]), (&json!("user.c7"), &json!(number)));
        }
    }
    server.listen(&["team.t2"]).greeted().await;
}

/// The URL of a page names what it named when it was opened.
#[tokio::test]
async fn a_page_comes_back_with_a_channel_that_is_gone_and_keeps_the_others() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut page = server.listen(&BOTH).greeted().await;
    remove_teams(&server).await;
    server.reload().await.ok();
    page.next_event("gone").await;
    // Others, one on each shard, stand where it does and have another cursor.
    let mut others = [server.subscribe("user.c7").await, server.subscribe("user.c7").await];
    let mut cursor = page.disconnect();
    for number in [1, 3, 5, 7] {
        server.publish(order("c7", number)).await.accepted();
        let again = server.listen(&BOTH).cursor(&cursor);
        let mut page = told_gone(if number == 3 { again.http_1_0() } else { again }).await;
        server.publish(order("c7", number + 1)).await.accepted();
        for number in [number, number + 1] {
            assert_eq!(page.next_order().await, number.to_string());
            for other in &mut others {
                assert_eq!(other.next_order().await, number.to_string());
            }
        }
        cursor = page.disconnect();
    }
    told_gone(server.listen(&BOTH).cursor(&cursor)).await;
    for other in others {
        let mut stream = server.listen(&BOTH).cursor(&other.disconnect()).open().await;
        assert_eq!(stream.next_event("bye").await.json()["code"], "bad_request", "it has the page's cursor");
    }
}

#[tokio::test]
async fn a_channel_that_is_declared_again_is_followed_from_where_its_reader_stood() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut page = server.listen(&BOTH).greeted().await;
    server.publish(notable(1)).await.accepted();
    for _ in 0..2 {
        assert_eq!(page.next_order().await, "1");
    }
    let text = remove_teams(&server).await;
    server.reload().await.ok();
    page.next_event("gone").await;
    let cursor = told_gone(server.listen(&BOTH).cursor(&page.disconnect())).await.disconnect();
    server.scenario.write(&text);
    server.reload().await.ok();
    server.publish(notable(2)).await.accepted();
    let mut page = server.listen(&BOTH).cursor(&cursor).greeted().await;
    let mut channels = Vec::new();
    for _ in 0..2 {
        let next = page.next_notification().await;
        assert_eq!(next["data"]["order_id"], "2", "one that it had, or was never to have");
        channels.push(next["channel"].as_str().unwrap().to_owned());
    }
    channels.sort();
    assert_eq!(channels, BOTH);
}

#[tokio::test]
async fn who_never_listened_to_what_is_gone_or_has_nothing_left_is_refused() {
    let server = TestServer::start(Scenario::shop()).await;
    let cursor = server.listen(&BOTH).greeted().await.disconnect();
    let of_one = server.subscribe("user.c7").await.disconnect();
    remove_teams(&server).await;
    server.reload().await.ok();
    let both = server.listen(&BOTH);
    let refused = [
        ("no cursor", both.clone(), "bad_request"),
        ("a cursor that does not know it", both.clone().cursor(&of_one), "bad_request"),
        ("what is no cursor", both.clone().cursor("7"), "bad_request"),
        ("no other channel", server.listen(&["team.t2"]).cursor(&cursor), "bad_request"),
        ("the other is for others", both.clone().token(&server.token("c8")).cursor(&cursor), "forbidden"),
    ];
    for (why, listen, code) in refused {
        let bye = listen.open().await.next_event("bye").await.json();
        assert_eq!(bye["code"], code, "{why}: {bye}");
    }
    let strict = both.cursor(&cursor).strict().open().await;
    assert_eq!(strict.head.status, 404);
    assert!(strict.body().await.contains("unknown_channel"));
}
