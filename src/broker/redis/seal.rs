//! How a publish is kept as durably as the configuration asks: what is sent behind a batch, and what its reply must say.

use std::num::NonZeroU8;
use std::time::Duration;

use redis::{Cmd, Value};

use super::publish::millis;
use crate::config::Durability;

/// For how long the write that a WAIT may need is kept.
const MARK_TTL: Duration = Duration::from_secs(60);

/// What has to be asked of a server behind what is written, so that it is kept as the configuration asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Seal {
    /// Nothing: its reply says it.
    #[default]
    Stored,
    /// That so many replicas have it.
    Replicas(NonZeroU8),
    /// That its disk has it.
    Disk,
}

impl From<Durability> for Seal {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Primary => Self::Stored,
            Durability::Replica(count) => Self::Replicas(count),
            Durability::Fsync => Self::Disk,
        }
    }
}

impl Seal {
    /// What is sent behind a batch, so that the last reply tells whether it is where it is to be.
    pub(super) fn commands(self, mark: &str, within: Duration) -> Vec<Cmd> {
        let mut wait = match self {
            Self::Stored => return Vec::new(),
            Self::Replicas(count) => {
                let mut wait = redis::cmd("WAIT");
                wait.arg(count.get());
                wait
            }
            Self::Disk => {
                let mut wait = redis::cmd("WAITAOF");
                wait.arg(1).arg(0);
                wait
            }
        };
        // Without end where it is zero, which it never is.
        wait.arg(millis(within));
        // WAIT covers what its own connection wrote. What a repeat finds stored was written on another one, so there
        // must be something of ours behind it.
        let mut write = redis::cmd("SET");
        write.arg(mark).arg("").arg("PX").arg(millis(MARK_TTL));
        vec![write, wait]
    }

    /// Whether the last reply says that the batch is where it is to be.
    pub(super) fn is_reached(self, reply: Option<&Value>) -> bool {
        match (self, reply) {
            (Self::Stored, _) => true,
            (Self::Replicas(count), Some(Value::Int(reached))) => *reached >= i64::from(count.get()),
            (Self::Disk, Some(Value::Array(reached))) => matches!(reached.first(), Some(Value::Int(1..))),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_reached_when_its_reply_says_so() {
        let two = Seal::Replicas(2.try_into().unwrap());
        for (count, reached) in [(0, false), (1, false), (2, true), (3, true)] {
            assert_eq!(two.is_reached(Some(&Value::Int(count))), reached);
        }
        for (local, reached) in [(0, false), (1, true)] {
            let reply = Value::Array(vec![Value::Int(local), Value::Int(0)]);
            assert_eq!(Seal::Disk.is_reached(Some(&reply)), reached);
        }
        for seal in [two, Seal::Disk] {
            assert!(!seal.is_reached(None) && !seal.is_reached(Some(&Value::Nil)));
        }
        assert!(Seal::Stored.is_reached(None));
    }

    #[test]
    fn no_wait_is_without_end() {
        let last = Seal::Disk.commands("m", Duration::ZERO).pop().unwrap();
        assert_eq!(last.get_packed_command(), b"*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n1\r\n");
    }
}
