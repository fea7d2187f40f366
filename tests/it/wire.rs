//! Whatever a producer writes reaches its readers intact, and stays inside one event.

use serde_json::{Value, json};

use crate::support::{Scenario, TestServer, order, with};

/// Texts that have broken other encoders of events, of lines and of JSON.
const TEXTS: &[&str] = &[
    "a\rb\nc\r\nd\0e",
    "\n\ndata: {}\nid: forged\n\n",
    "\r\revent: bye\rdata: x\r\r",
    ":\n",
    "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
    "\u{feff}start and end\u{feff}",
    "\u{1f389}\u{10ffff}\u{fffd}e\u{301}",
    "\"\\\"\\\\ \\u0000 </script><!--",
    "\u{1}\u{1f}\u{7f}\u{80}\u{9f}\t",
];

#[tokio::test]
async fn hostile_texts_reach_readers_intact_in_one_line() {
    let server = TestServer::start(Scenario::shop()).await;
    let mut customer = server.subscribe("user.c7").await;
    for text in TEXTS {
        let mut published = with(order("c7", 1), "title", *text);
        for (member, value) in [("message", json!(text)), ("source", json!(text)), ("tags", json!([text]))] {
            published = with(published, member, value);
        }
        server.publish(published.clone()).await.accepted();
        let received = customer.next_notification().await;
        for member in ["title", "message", "source", "tags"] {
            assert_eq!(received[member], published[member]);
        }
    }
}

#[tokio::test]
async fn numbers_and_shapes_are_not_changed_on_the_way() {
    let schema = json!({ "type": "object", "required": ["userId"],
        "properties": { "userId": { "type": "string" }, "data": { "type": "object" } } });
    let scenario = Scenario::shop()
        .with("[types.raw]\nschema = \"raw.json\"\npublish = \"producers\"")
        .with("[[rules]]\nname = \"raw\"\npriority = 1\nwhen = { type = \"raw\" }\nto = [\"user.{userId}\"]");
    std::fs::write(scenario.file("schemas/raw.json"), schema.to_string()).unwrap();
    let server = TestServer::start(scenario).await;
    let mut customer = server.subscribe("user.c7").await;
    let data = r#"{"":{"a/b":[],"~":null},"big":9007199254740993,"float":0.1,"max":18446744073709551615,"min":-9223372036854775808,"small":5e-324,"\u2028":false}"#;
    let body = format!(r#"{{"type":"raw","userId":"c7","data":{data}}}"#);
    server.send(server.post("/v1/notifications").body(body)).await.accepted();
    let expected: Value = serde_json::from_str(data).unwrap();
    assert_eq!(customer.next_notification().await["data"], expected);
}

#[tokio::test]
async fn a_burst_larger_than_any_buffer_arrives_whole_and_in_order() {
    let scenario = Scenario::shop().server("max_body = 16_777_216").server("ring_bytes = 67_108_864");
    let server = TestServer::start(scenario.user_channel("history = { size = 1_000, ttl = \"1h\" }")).await;
    let mut reader = server.subscribe("user.c7").await;
    let mut late = server.listen(&["user.c7"]).query("last=150").open().await;
    let long = "\u{1f389}".repeat(4_000);
    let items: Vec<Value> = (0..150).map(|number| with(order("c7", number), "message", long.clone())).collect();
    let batch = server.post("/v1/notifications:batch").body(json!(items).to_string());
    let results = server.send(batch).await.ok();
    assert_eq!(results["results"].as_array().unwrap().len(), 150);
    late.next_event("hello").await;
    for stream in [&mut reader, &mut late] {
        for number in 0..150 {
            let notification = stream.next_notification().await;
            assert_eq!(notification["data"]["order_id"], number.to_string());
            assert_eq!(notification["message"], long);
        }
    }
}

#[tokio::test]
async fn a_cursor_of_the_most_channels_still_is_an_id() {
    let server = TestServer::start(Scenario::shop()).await;
    let names: Vec<String> = (0..16).map(|number| format!("team.t{number}")).collect();
    let channels: Vec<&str> = names.iter().map(String::as_str).collect();
    let notable = |team: &str| with(with(order("c7", team), "data.total_cents", 100_000), "data.seller_team_id", team);
    let mut reader = server.listen(&channels).greeted().await;
    for number in 0..16 {
        server.publish(notable(&format!("t{number}"))).await.accepted();
        assert_eq!(reader.next_order().await, format!("t{number}"));
    }
    assert!(reader.cursor().len() <= 512, "{}", reader.cursor());
    server.publish(notable("t9")).await.accepted();
    let mut reader = server.listen(&channels).cursor(&reader.disconnect()).greeted().await;
    assert_eq!(reader.next_order().await, "t9");
}
