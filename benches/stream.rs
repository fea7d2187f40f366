//! What each delivery does to a stream's numbers: cursors written and read, rings appended to and pulled from.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected shall panic")]

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fanfare::notification::{ChannelName, Priority};
use fanfare::stream::{Append, Cursor, Epoch, Lane, Message, Position, Publication, Pull, Record, Ring, RingBounds};

/// What a ring holds by default.
const BOUNDS: RingBounds = RingBounds { records: 256, bytes: 1024 * 1024 };

fn main() {
    divan::main();
}

/// The places of a subscription in the middle of its life.
fn places(channels: u64) -> Vec<([u8; 4], [Position; 2])> {
    let place = |n: u64| {
        let channel: ChannelName = format!("user.{n}").parse().unwrap();
        let at = |seq| Position::new(Epoch::from_bits(0x12_3456_789a + n), seq);
        (Cursor::tag(&channel), [at(1_000 + n), at(1_000_000 + n)])
    };
    (0..channels).map(place).collect()
}

#[divan::bench(args = [1, 4, 16])]
fn write_cursor(bencher: Bencher<'_, '_>, channels: u64) {
    let places = places(channels);
    let mut text = Vec::with_capacity(1_024);
    bencher.bench_local(|| {
        text.clear();
        Cursor::write(black_box(&places).iter().copied(), &mut text);
        text.len()
    });
}

#[divan::bench(args = [1, 4, 16])]
fn parse_cursor(bencher: Bencher<'_, '_>, channels: u64) {
    let mut text = Vec::new();
    Cursor::write(places(channels).into_iter(), &mut text);
    bencher.bench_local(|| Cursor::parse(black_box(&text)).unwrap());
}

fn publication(channel: &ChannelName, json: &Bytes, seq: u64) -> Publication {
    let message =
        Message { priority: Priority::Medium, expires_ms: None, collapse_key: None, event: None, json: json.clone() };
    let (channel, epoch) = (channel.clone(), Epoch::from_bits(1));
    Publication { channel, lane: Lane::Normal, epoch, record: Record { seq, message } }
}

/// A ring that is full, and what appends to it.
fn full_ring() -> (Ring, impl FnMut() -> Publication) {
    let channel: ChannelName = "user.c7".parse().unwrap();
    let json = Bytes::from(vec![b'x'; 250]);
    let mut ring = Ring::new(BOUNDS, Position::new(Epoch::from_bits(1), 0));
    let mut seq = 0;
    let mut next = move || {
        seq += 1;
        publication(&channel, &json, seq)
    };
    for _ in 0..BOUNDS.records {
        assert_eq!(ring.append(next()), Append::Appended);
    }
    (ring, next)
}

#[divan::bench(sample_size = 256)]
fn append_to_a_full_ring(bencher: Bencher<'_, '_>) {
    let (mut ring, next) = full_ring();
    bencher.with_inputs(next).bench_local_values(|publication| ring.append(publication));
}

#[divan::bench(args = [1, 16, 256])]
fn pull_from_a_ring(bencher: Bencher<'_, '_>, records: u64) {
    let (ring, _) = full_ring();
    let head = ring.head();
    let from = Position::new(head.epoch, head.seq - records);
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        let (mut at, mut bytes) = (black_box(from), 0);
        while let Pull::Next(message, next) = ring.pull(at) {
            at = next;
            bytes += message.json.len();
        }
        bytes
    });
}
