//! Which idempotency keys have a publish under way on this node.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Bounded by the requests under way.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashSet<[u8; 16]>>);

/// A key's turn; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    keys: &'a InFlight,
    digest: [u8; 16],
}

impl InFlight {
    /// The key's turn; none while another publish has it.
    pub(super) fn enter(&self, digest: [u8; 16]) -> Option<Turn<'_>> {
        // Made only if it is given out: dropping one would take the lock again, and end the turn that is under way.
        self.0.lock().insert(digest).then(|| Turn { keys: self, digest })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.keys.0.lock().remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_turn_at_a_time() {
        let keys = InFlight::default();
        let turn = keys.enter([1; 16]).unwrap();
        assert!(keys.enter([1; 16]).is_none());
        assert!(keys.enter([2; 16]).is_some());
        drop(turn);
        assert!(keys.enter([1; 16]).is_some());
    }
}
