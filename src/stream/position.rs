//! Where a reader stands in one stream: an epoch and a sequence number.

use std::fmt;
use std::str::FromStr;

use crate::notification::Priority;

/// One of the two logs of a channel. `Express` is drained first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// `high` and `critical` notifications.
    Express,
    /// `low` and `medium` notifications.
    Normal,
}

impl Lane {
    /// Both lanes, in the order in which they are drained.
    pub const ALL: [Self; 2] = [Self::Express, Self::Normal];

    /// The lane that a notification of `priority` travels in.
    #[must_use]
    pub fn of(priority: Priority) -> Self {
        if priority >= Priority::High { Self::Express } else { Self::Normal }
    }

    /// The name used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Express => "express",
            Self::Normal => "normal",
        }
    }

    /// 0 for `Express`, 1 for `Normal`.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One history of a channel: sequence numbers compare only within it. 40 random bits, written as eight
/// characters of base 32.
///
/// It changes whenever the broker's own history may have forked (restart, failover, flush), so that a number
/// issued twice is never mistaken for the same record: the leader epoch of Kafka's KIP-101, for one channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// Characters of its text.
    pub const TEXT_LEN: usize = 8;
    /// Bytes of its packed form.
    pub const PACKED_LEN: usize = 5;
    const BITS: u32 = 40;
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

    /// A new epoch that no other history has (one chance in 10¹²).
    #[must_use]
    pub fn random() -> Self {
        Self::from_bits(rand::random())
    }

    /// The epoch of the low 40 bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// The 40 bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for digit in (0..Self::TEXT_LEN).rev() {
            let index = (self.0 >> (5 * digit)) & 31;
            f.write_char(char::from(Self::ALPHABET[index as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != Self::TEXT_LEN {
            return Err(InvalidPosition);
        }
        let digit = |byte| Self::ALPHABET.iter().position(|b| *b == byte).ok_or(InvalidPosition);
        text.bytes().try_fold(0, |bits, byte| Ok(bits << 5 | digit(byte)? as u64)).map(Self)
    }
}

/// The last record that a reader has of one stream; `seq` 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The history that `seq` counts in.
    pub epoch: Epoch,
    /// The record's number, from 1.
    pub seq: u64,
}

impl Position {
    /// The position `seq` of `epoch`.
    #[must_use]
    pub fn new(epoch: Epoch, seq: u64) -> Self {
        Self { epoch, seq }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = text.split_once('-').ok_or(InvalidPosition)?;
        Ok(Self { epoch: epoch.parse()?, seq: seq.parse().map_err(|_| InvalidPosition)? })
    }
}

/// The text is no epoch or position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a stream position")]
pub struct InvalidPosition;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_what_it_writes() {
        for bits in [0, 1, u64::MAX, 0x12_3456_789a] {
            let position = Position::new(Epoch::from_bits(bits), 42);
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        assert!("0000000-1".parse::<Position>().is_err());
        assert!("0000000w-1".parse::<Position>().is_err());
        assert!("00000000--1".parse::<Position>().is_err());
    }

    #[test]
    fn only_high_and_critical_are_express() {
        let lanes = Priority::ALL.map(Lane::of);
        assert_eq!(lanes, [Lane::Normal, Lane::Normal, Lane::Express, Lane::Express]);
    }
}
