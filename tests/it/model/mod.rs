//! Rings, cursors and the memory broker's history against a model that is a list per stream: whatever is published,
//! trimmed, lost on the way, resumed or crashed, a reader gets the rest of the list, or is told exactly what is missing.

mod node;
mod reference;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use self::node::{Heard, Node};
use self::reference::{Model, Op, STREAMS};

/// The node under test.
struct Delivery;

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn readers_get_the_rest_or_are_told_what_is_missing(sequential 1..60 => Delivery);
}

impl StateMachineTest for Delivery {
    type SystemUnderTest = Node;
    type Reference = Model;

    fn init_test(_model: &Model) -> Node {
        Node::start()
    }

    /// Does to the node what was done to the model, and judges it by the model as it is afterwards.
    fn apply(mut node: Node, model: &Model, op: Op) -> Node {
        match op {
            Op::Publish { stream } => {
                let position = node.publish(stream, model.published, model.keeps);
                assert_eq!(position.seq, model.top(stream), "numbers are contiguous");
            }
            Op::Reload { .. } => {}
            Op::Age => node.age(),
            Op::Lose { stream } => node.lose(stream),
            Op::Reopen => node.reopen(),
            Op::Crash => node.crash(),
            Op::Flush => node.flush(),
            Op::Subscribe { reader } => node.subscribe(reader),
            Op::Save { reader } => node.save(reader),
            Op::Resume { reader, cursor } => node.resume(reader, cursor),
            Op::Read { reader, stream } => model.judge(reader, stream, &node.read(reader, stream)),
        }
        node
    }

    fn check_invariants(node: &Node, model: &Model) {
        for stream in 0..STREAMS {
            let end = node.end_of_whole_ring(stream);
            assert!(end.is_none_or(|end| end == model.top(stream)), "the ring of stream {stream} ends at {end:?}");
        }
    }
}

#[test]
fn the_model_refuses_what_is_wrong() {
    let mut model = Model::new();
    let publish = |model, count| (0..count).fold(model, |model, _| Model::apply(model, &Op::Publish { stream: 0 }));
    model = Model::apply(model, &Op::Reload { keeps: 2 });
    model = publish(model, 5);
    model = Model::apply(model, &Op::Read { reader: 0, stream: 0 });
    let record = |seq| Heard::Record { seq, number: seq };
    let refused = |heard: &[Heard]| std::panic::catch_unwind(|| model.judge(0, 0, heard)).is_err();
    assert!(!refused(&[1, 2, 3, 4, 5].map(record)), "the ring may have more than history");
    assert!(!refused(&[Heard::Gap { from: 1, to: 3 }, record(4), record(5)]));
    for wrong in [
        vec![],
        vec![record(4), record(5)],
        vec![record(1), record(3), record(4), record(5)],
        vec![record(1), record(2), record(3), record(4)],
        vec![Heard::Gap { from: 1, to: 2 }, record(4), record(5)],
        vec![Heard::Gap { from: 2, to: 3 }, record(4), record(5)],
        vec![Heard::Gap { from: 1, to: 4 }, record(5)],
        vec![Heard::Reset, record(4), record(5)],
        vec![record(1), record(2), record(3), record(4), Heard::Record { seq: 5, number: 4 }],
    ] {
        assert!(refused(&wrong), "{wrong:?}");
    }
}
