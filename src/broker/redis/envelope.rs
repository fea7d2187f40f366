//! How a record is written in Redis: a version, so that nodes of two releases can share one server.
//!
//! Version 1 is the byte 1; the priority; a byte of flags; for each flag set, in this order, the expiry (8 bytes), the
//! collapse key and the event name (4 bytes of length, then text); and the JSON up to the end. Integers are big-endian.
//!
//! A record that cannot be read is never passed over in silence. Pushed, it makes the hub read the stream; read, it is
//! told to readers as a gap of its own kind, while the records around it are served.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::keys::lane_code;
use crate::notification::Priority;
use crate::stream::{Lane, Message, Position};

const VERSION: u8 = 1;
const HAS_EXPIRY: u8 = 1;
const HAS_COLLAPSE_KEY: u8 = 2;
const HAS_EVENT: u8 = 4;

/// Why bytes in Redis are no record that this server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// Written by a later release.
    #[error("version {0} of the record is newer than {VERSION}, which this server reads")]
    Version(u8),
    /// Not written by this product.
    #[error("is not a record")]
    Malformed,
}

/// A record as pub/sub carries it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) lane: Lane,
    pub(super) position: Position,
    /// To be read by [`decode`].
    pub(super) record: Bytes,
}

/// Writes a message.
pub(super) fn encode(message: &Message) -> Bytes {
    let Message { priority, expires_ms, collapse_key, event, json } = message;
    let texts = [(HAS_COLLAPSE_KEY, collapse_key), (HAS_EVENT, event)];
    let flags = texts.iter().filter(|(_, text)| text.is_some()).fold(0, |flags, (flag, _)| flags | flag);
    let mut out = BytesMut::with_capacity(32 + json.len());
    out.put_u8(VERSION);
    out.put_u8(*priority as u8);
    out.put_u8(if expires_ms.is_some() { flags | HAS_EXPIRY } else { flags });
    if let Some(expires_ms) = expires_ms {
        out.put_u64(*expires_ms);
    }
    for text in texts.iter().filter_map(|(_, text)| text.as_deref()) {
        out.put_u32(text.len() as u32);
        out.put_slice(text.as_bytes());
    }
    out.put_slice(json);
    out.freeze()
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(mut record: Bytes) -> Result<Message, Unreadable> {
    match record.try_get_u8() {
        Ok(VERSION) => read_fields(record).ok_or(Unreadable::Malformed),
        Ok(version) if version > VERSION => Err(Unreadable::Version(version)),
        _ => Err(Unreadable::Malformed),
    }
}

fn read_fields(mut rest: Bytes) -> Option<Message> {
    let priority = *Priority::ALL.get(usize::from(rest.try_get_u8().ok()?))?;
    let flags = rest.try_get_u8().ok()?;
    let expires_ms = if flags & HAS_EXPIRY == 0 { None } else { Some(rest.try_get_u64().ok()?) };
    let mut text = |flag| if flags & flag == 0 { Some(None) } else { take_text(&mut rest).map(Some) };
    let (collapse_key, event) = (text(HAS_COLLAPSE_KEY)?, text(HAS_EVENT)?);
    // A line break would let whoever wrote it into Redis forge SSE fields for every reader.
    let one_line = std::str::from_utf8(&rest).is_ok_and(|json| !json.contains(['\n', '\r']));
    one_line.then_some(Message { priority, expires_ms, collapse_key, event, json: rest })
}

fn take_text(rest: &mut Bytes) -> Option<Box<str>> {
    let len = rest.try_get_u32().ok()? as usize;
    if len > rest.len() {
        return None;
    }
    let text = std::str::from_utf8(&rest.split_to(len)).ok()?.into();
    Some(text)
}

/// Reads what the publish script pushes: `lane epoch-seq`, a line break, and the record.
pub(super) fn read_push(payload: Bytes) -> Option<Pushed> {
    let line = payload.iter().take(64).position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&payload[..line]).ok()?;
    let (lane, position) = head.split_once(' ')?;
    Some(Pushed { lane: read_lane(lane)?, position: position.parse().ok()?, record: payload.slice(line + 1..) })
}

/// Reads a lane as keys and scripts call it.
pub(super) fn read_lane(code: &str) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| lane_code(*lane) == code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let text = || proptest::option::of("[a-z.é]{0,20}".prop_map(Box::from));
        (0..4_usize, any::<Option<u64>>(), text(), text(), "[ -~é]{0,40}").prop_map(
            |(priority, expires_ms, collapse_key, event, json)| Message {
                priority: Priority::ALL[priority],
                expires_ms,
                collapse_key,
                event,
                json: json.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(message in any_message()) {
            prop_assert_eq!(decode(encode(&message)), Ok(message));
        }

        #[test]
        fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(Bytes::from([&[VERSION], tail.as_slice()].concat()));
            let _ = decode(Bytes::from(tail.clone()));
            let _ = read_push(Bytes::from(tail));
        }
    }

    #[test]
    fn what_a_later_release_wrote_is_named() {
        assert_eq!(decode(Bytes::from_static(b"\x02whatever")), Err(Unreadable::Version(2)));
        assert_eq!(decode(Bytes::from_static(b"")), Err(Unreadable::Malformed));
        assert_eq!(decode(Bytes::from_static(b"\x01\x00\x00{}\nevent: x")), Err(Unreadable::Malformed));
    }

    #[test]
    fn a_push_names_its_place() {
        let pushed = read_push(Bytes::from_static(b"x 0000000a-7\n\x01...")).unwrap();
        assert_eq!((pushed.lane, pushed.position), (Lane::Express, "0000000a-7".parse().unwrap()));
        assert_eq!(&*pushed.record, b"\x01...");
        assert_eq!(read_push(Bytes::from_static(b"{\"foreign\":1}")), None);
    }
}
