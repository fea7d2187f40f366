//! A strict reader of Server-Sent Events: what a lenient client would forgive fails here.

use serde_json::Value;

/// One thing that a stream says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Heartbeat,
    Event(Event),
}

/// An event, exactly as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) data: String,
    pub(crate) id: Option<String>,
    /// The data, which every event has as JSON.
    pub(crate) value: Value,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        self.value.clone()
    }

    /// Whether it is one that the server says of itself.
    pub(crate) fn is_system(&self) -> bool {
        matches!(self.name.as_deref(), Some("hello" | "gap" | "reset" | "lag" | "gone" | "bye"))
    }
}

/// Takes the first frame from `bytes` when it is whole.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    // Fast, as many readers share a core with the servers that they read from.
    assert!(memchr::memchr(b'\r', bytes).is_none(), "a CR is in the stream: {}", String::from_utf8_lossy(bytes));
    assert!(!bytes.starts_with(b"\n"), "an empty line stands alone: {}", String::from_utf8_lossy(bytes));
    if bytes.starts_with(b":\n") {
        bytes.drain(..2);
        return Some(Frame::Heartbeat);
    }
    let end = memchr::memmem::find(bytes, b"\n\n")? + 2;
    let block: Vec<u8> = bytes.drain(..end).collect();
    Some(Frame::Event(parse(std::str::from_utf8(&block).unwrap())))
}

/// Fields in the order `event`, `retry`, `data`, `id`; each at most once, `data` always.
fn parse(block: &str) -> Event {
    let mut lines = block.strip_suffix("\n\n").unwrap().split('\n').peekable();
    let mut field = |name: &str| {
        let line = lines.next_if(|line| line.starts_with(&format!("{name}: ")))?;
        Some(line[name.len() + 2..].to_owned())
    };
    let name = field("event");
    let retry = field("retry").map(|retry| retry.parse().expect("retry is a number"));
    let data = field("data").unwrap_or_else(|| panic!("no data, or fields out of order: {block:?}"));
    let id = field("id");
    assert_eq!(lines.next(), None, "something follows the fields: {block:?}");
    let value = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
    let event = Event { name, retry, data, id, value };
    check(&event);
    event
}

fn check(event: &Event) {
    assert!(event.retry.is_none_or(|retry| (500..=60_000).contains(&retry)), "{event:?}");
    if let Some(name) = &event.name {
        assert!(!["open", "error", "end", "message"].contains(&name.as_str()), "clients give it a meaning: {event:?}");
    }
    if let Some(id) = &event.id {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        assert!((1..=520).contains(&id.len()) && id.bytes().all(allowed), "{event:?}");
    }
    // One line of compact JSON: writing it anew changes nothing but the order of members.
    assert_eq!(event.value.to_string().len(), event.data.len(), "{event:?}");
}

#[test]
fn what_is_not_strict_is_not_taken() {
    let frame = |text: &str| take_frame(&mut text.as_bytes().to_vec());
    assert_eq!(frame(":\n"), Some(Frame::Heartbeat));
    assert_eq!(frame("data: {}\nid: 1"), None, "not whole");
    assert!(matches!(frame("event: hello\nretry: 700\ndata: {}\nid: 1a\n\n"), Some(Frame::Event(_))));
    for text in [
        "data: {}\r\nid: 1\n\n",
        "\ndata: {}\nid: 1\n\n",
        ":\n\n",
        "id: 1\ndata: {}\n\n",
        "id: 1\n\n",
        "retry: 700\n\n",
        "data: {}\ndata: {}\nid: 1\n\n",
        "data: { }\nid: 1\n\n",
        "data: {}\nid: a b\n\n",
        "event: error\ndata: {}\nid: 1\n\n",
        "retry: 0\ndata: {}\nid: 1\n\n",
    ] {
        let refused = std::panic::catch_unwind(|| {
            let mut bytes = text.as_bytes().to_vec();
            while take_frame(&mut bytes).is_some() {}
        });
        assert!(refused.is_err(), "{text:?}");
    }
}
