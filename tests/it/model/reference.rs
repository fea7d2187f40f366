//! The model: each stream is the list of what was published to it.

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::node::Heard;

/// Two channels of two lanes.
pub(super) const STREAMS: usize = 4;
pub(super) const READERS: usize = 3;
/// Cursors that are kept to come back with; the oldest is replaced.
pub(super) const CURSORS: usize = 4;

/// Where a reader stands: in which life of the broker, and after how many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    life: usize,
    seq: u64,
}

type Places = [Place; STREAMS];

/// What may be known of a node and its readers.
#[derive(Debug, Clone)]
pub(super) struct Model {
    life: usize,
    /// Every number published in this life.
    streams: [Vec<u64>; STREAMS],
    /// How many of the last are in history.
    kept: [u64; STREAMS],
    /// What history keeps, for publishes from now on.
    pub(super) keeps: usize,
    /// How many numbers were published ever.
    pub(super) published: u64,
    readers: [Places; READERS],
    /// Where the readers stood before the last operation.
    before: [Places; READERS],
    cursors: [Places; CURSORS],
    saved: usize,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Publish {
        stream: usize,
    },
    /// A configuration that keeps so many records.
    Reload {
        keeps: usize,
    },
    /// All that history has becomes too old to be kept.
    Age,
    /// What is next delivered of the stream does not arrive.
    Lose {
        stream: usize,
    },
    /// The node leaves its channels and opens them again.
    Reopen,
    /// The broker forgets everything, and the node with it.
    Crash,
    /// The broker forgets everything, and the node goes on with what it has.
    Flush,
    Subscribe {
        reader: usize,
    },
    /// The reader's cursor is kept.
    Save {
        reader: usize,
    },
    /// The reader comes back with a kept cursor.
    Resume {
        reader: usize,
        cursor: usize,
    },
    /// To the end.
    Read {
        reader: usize,
        stream: usize,
    },
}

impl Model {
    pub(super) fn new() -> Self {
        let start = [Place { life: 0, seq: 0 }; STREAMS];
        Self {
            life: 0,
            streams: Default::default(),
            kept: [0; STREAMS],
            keeps: 5,
            published: 0,
            readers: [start; READERS],
            before: [start; READERS],
            cursors: [start; CURSORS],
            saved: 0,
        }
    }

    pub(super) fn top(&self, stream: usize) -> u64 {
        self.streams[stream].len() as u64
    }

    fn oldest_kept(&self, stream: usize) -> u64 {
        self.top(stream) - self.kept[stream] + 1
    }

    /// Whether that is what the reader had to hear when it read to the end. The ring may have more than
    /// history, so a gap is right only if history lacks what it tells of.
    #[track_caller]
    pub(super) fn judge(&self, reader: usize, stream: usize, heard: &[Heard]) {
        let place = self.before[reader][stream];
        let (told, records) = match heard.split_first() {
            Some((Heard::Gap { .. } | Heard::Reset, records)) => (Some(&heard[0]), records),
            _ => (None, heard),
        };
        let lacks = self.oldest_kept(stream) - 1;
        let from = match told {
            None => {
                assert_eq!(place.life, self.life, "the end of a life was not told");
                place.seq
            }
            Some(Heard::Reset) => {
                assert_ne!(place.life, self.life, "a reset without a reason");
                lacks
            }
            Some(told) => {
                assert_eq!(place.life, self.life, "the end of a life was told as a gap");
                assert_eq!(
                    told,
                    &Heard::Gap { from: place.seq + 1, to: lacks },
                    "a gap of what is there, or too short"
                );
                lacks
            }
        };
        let rest = self.streams[stream].iter().zip(1..).skip(from as usize);
        let rest: Vec<Heard> = rest.map(|(&number, seq)| Heard::Record { seq, number }).collect();
        assert_eq!(records, rest, "after {place:?}");
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new()).boxed()
    }

    fn transitions(_model: &Self) -> BoxedStrategy<Op> {
        let (stream, reader, cursor) = (0..STREAMS, 0..READERS, 0..CURSORS);
        prop_oneof![
            12 => stream.clone().prop_map(|stream| Op::Publish { stream }),
            1 => (1_usize..8).prop_map(|keeps| Op::Reload { keeps }),
            1 => Just(Op::Age),
            2 => stream.clone().prop_map(|stream| Op::Lose { stream }),
            1 => Just(Op::Reopen),
            1 => prop_oneof![Just(Op::Crash), Just(Op::Flush)],
            1 => reader.clone().prop_map(|reader| Op::Subscribe { reader }),
            3 => reader.clone().prop_map(|reader| Op::Save { reader }),
            3 => (reader.clone(), cursor).prop_map(|(reader, cursor)| Op::Resume { reader, cursor }),
            8 => (reader, stream).prop_map(|(reader, stream)| Op::Read { reader, stream }),
        ]
        .boxed()
    }

    fn apply(mut model: Self, op: &Op) -> Self {
        model.before = model.readers;
        match *op {
            Op::Publish { stream } => {
                model.published += 1;
                model.streams[stream].push(model.published);
                model.kept[stream] = (model.kept[stream] + 1).min(model.keeps as u64);
            }
            Op::Reload { keeps } => model.keeps = keeps,
            Op::Age => model.kept = [0; STREAMS],
            Op::Lose { .. } | Op::Reopen => {}
            Op::Crash | Op::Flush => {
                model.life += 1;
                model.streams = Default::default();
                model.kept = [0; STREAMS];
            }
            Op::Subscribe { reader } => {
                let life = model.life;
                model.readers[reader] = std::array::from_fn(|stream| Place { life, seq: model.top(stream) });
            }
            Op::Save { reader } => {
                model.cursors[model.saved % CURSORS] = model.readers[reader];
                model.saved += 1;
            }
            Op::Resume { reader, cursor } => model.readers[reader] = model.cursors[cursor],
            Op::Read { reader, stream } => {
                model.readers[reader][stream] = Place { life: model.life, seq: model.top(stream) };
            }
        }
        model
    }
}
