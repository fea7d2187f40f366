//! The cursor: where a subscription stands in all its streams, as one opaque SSE id.
//!
//! Because the express lane overtakes, one number cannot say what a reader has; the id is a vector of
//! positions. It comes back from the client as `Last-Event-ID`, so it is untrusted: the parser is total, its
//! size is capped, and a cursor only ever says *where* to go on in channels that the credential grants anyway.
//!
//! Version 1 is `1` followed by base64url of, for each channel: 4 bytes of the name's SHA-256; 5 of the epoch;
//! the express lane's number shifted left by one and the normal lane's, both as LEB128; and, where the shifted
//! bit is set, the normal lane's own epoch, as the lanes of a channel may cross a failover one after the other.
//! Names are hashed so that a cursor stays short and tells nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::{Epoch, Lane, Position};
use crate::notification::ChannelName;

/// Most channels on one subscription: 32 streams, whose cursor fits 512 characters.
pub const MAX_CHANNELS: usize = 16;
/// Longest cursor that is read at all. What is written stays within 512 while numbers are below 2⁴¹ and the
/// lanes of a channel share an epoch.
const MAX_TEXT: usize = 1_024;
/// Sequence numbers stay below 2⁵³, the integers that JSON readers keep exactly.
const MAX_SEQ: u64 = 1 << 53;
const VERSION: u8 = b'1';
const TAG_LEN: usize = 4;

/// Identifies a channel inside a cursor.
type Tag = [u8; TAG_LEN];

/// A cursor before base64.
type Packed = SmallVec<[u8; 384]>;

/// The positions of all streams of one subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    lanes: [Position; Lane::ALL.len()],
}

/// The text is no cursor of a version that this server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor")]
pub struct InvalidCursor;

impl Cursor {
    /// The cursor's place for a channel, computed once per subscription.
    #[must_use]
    pub fn tag(channel: &ChannelName) -> [u8; 4] {
        let digest = Sha256::digest(channel.as_str().as_bytes());
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// The position it holds of a stream. A channel that it does not know has none.
    #[must_use]
    pub fn position(&self, channel: &ChannelName, lane: Lane) -> Option<Position> {
        let tag = Self::tag(channel);
        let entry = self.entries.iter().find(|entry| entry.tag == tag)?;
        Some(entry.lanes[lane.index()])
    }

    /// Reads a cursor that a client sent.
    ///
    /// # Errors
    /// [`InvalidCursor`] for every text that [`Cursor::write`] cannot have written.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidCursor> {
        let (version, packed) = text.split_first().ok_or(InvalidCursor)?;
        if text.len() > MAX_TEXT || *version != VERSION {
            return Err(InvalidCursor);
        }
        let packed = BASE64.decode(packed).map_err(|_| InvalidCursor)?;
        let mut rest = packed.as_slice();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let tag = *take::<TAG_LEN>(&mut rest)?;
            let epoch = take_epoch(&mut rest)?;
            let (express, normal) = (take_number(&mut rest)?, take_number(&mut rest)?);
            let normal_epoch = if express & 1 == 1 { take_epoch(&mut rest)? } else { epoch };
            let lanes = [Position::new(epoch, express >> 1), Position::new(normal_epoch, normal)];
            entries.push(Entry { tag, lanes });
        }
        if entries.len() > MAX_CHANNELS {
            return Err(InvalidCursor);
        }
        Ok(Self { entries })
    }

    /// Appends the text of the cursor that has these positions to `out`: per channel its tag and the position
    /// of each lane.
    pub fn write(channels: impl Iterator<Item = (Tag, [Position; Lane::ALL.len()])>, out: &mut Vec<u8>) {
        let mut packed = Packed::new();
        for (tag, [express, normal]) in channels {
            packed.extend_from_slice(&tag);
            push_epoch(&mut packed, express.epoch);
            let split = express.epoch != normal.epoch;
            push_number(&mut packed, express.seq << 1 | u64::from(split));
            push_number(&mut packed, normal.seq);
            if split {
                push_epoch(&mut packed, normal.epoch);
            }
        }
        out.push(VERSION);
        let start = out.len();
        out.resize(start + packed.len() * 4 / 3 + 4, 0);
        let written = BASE64.encode_slice(&packed, &mut out[start..]).unwrap_or_default();
        out.truncate(start + written);
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], InvalidCursor> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(InvalidCursor)?;
    *rest = tail;
    Ok(head)
}

fn take_epoch(rest: &mut &[u8]) -> Result<Epoch, InvalidCursor> {
    let packed = take::<{ Epoch::PACKED_LEN }>(rest)?;
    Ok(Epoch::from_bits(packed.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))))
}

fn push_epoch(packed: &mut Packed, epoch: Epoch) {
    packed.extend_from_slice(&epoch.bits().to_be_bytes()[8 - Epoch::PACKED_LEN..]);
}

/// LEB128, seven bits a byte, low bits first.
fn take_number(rest: &mut &[u8]) -> Result<u64, InvalidCursor> {
    let mut number = 0_u64;
    for shift in (0..56).step_by(7) {
        let [byte] = *take::<1>(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if number >> 1 < MAX_SEQ { Ok(number) } else { Err(InvalidCursor) };
        }
    }
    Err(InvalidCursor)
}

fn push_number(packed: &mut Packed, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// For each channel, (epoch, seq) of its two lanes.
    type Lanes = [(u64, u64); 2];

    fn channel(n: usize) -> ChannelName {
        format!("user.{n}").parse().unwrap()
    }

    fn positions(lanes: Lanes) -> [Position; 2] {
        lanes.map(|(epoch, seq)| Position::new(Epoch::from_bits(epoch), seq))
    }

    fn write(channels: &[Lanes]) -> Vec<u8> {
        let mut text = Vec::new();
        let entries = channels.iter().enumerate().map(|(n, lanes)| (Cursor::tag(&channel(n)), positions(*lanes)));
        Cursor::write(entries, &mut text);
        text
    }

    fn any_lanes() -> impl Strategy<Value = Lanes> {
        let lane = || (any::<u64>(), 0..MAX_SEQ);
        prop_oneof![[lane(), lane()], lane().prop_map(|(epoch, seq)| [(epoch, seq), (epoch, seq / 3)])]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(channels in prop::collection::vec(any_lanes(), 0..=MAX_CHANNELS)) {
            let text = write(&channels);
            prop_assert!(text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(byte)));
            let cursor = Cursor::parse(&text).unwrap();
            for (n, lanes) in channels.iter().enumerate() {
                let read = Lane::ALL.map(|lane| cursor.position(&channel(n), lane).unwrap());
                prop_assert_eq!(read, positions(*lanes));
            }
        }

        #[test]
        fn no_input_panics(text in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Cursor::parse(&text);
        }

        #[test]
        fn no_tail_panics(text in "1[A-Za-z0-9_-]{0,520}") {
            let _ = Cursor::parse(text.as_bytes());
        }
    }

    #[test]
    fn thirty_two_streams_fit_an_sse_id() {
        let trillions = (u64::MAX, (1 << 41) - 1);
        assert!(write(&[[trillions; 2]; MAX_CHANNELS]).len() <= 512);
    }
}
