//! Which server of a cluster has which keys: the slots that keys are hashed to, and who owns them.

use std::ops::RangeInclusive;

use redis::Value;

use super::access::Address;
use crate::config::BrokerUrl;

/// How many there are.
const COUNT: usize = 16_384;
/// In place of an owner's index, when there is none.
const NOBODY: u16 = u16::MAX;

/// How servers share what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology {
    /// One has it all, and PUBLISH reaches whoever listens there.
    Single,
    /// Each has some slots, and SPUBLISH reaches whoever listens to one of them. A script may use the keys of one.
    Cluster,
}

impl From<&BrokerUrl> for Topology {
    fn from(url: &BrokerUrl) -> Self {
        if matches!(url, BrokerUrl::Cluster(_)) { Self::Cluster } else { Self::Single }
    }
}

/// One of the parts that a cluster's keys are divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u16);

impl Slot {
    /// That of the keys with a hash tag.
    pub(super) fn of(tag: &str) -> Self {
        Self(crc16(tag.as_bytes()) % COUNT as u16)
    }

    pub(super) fn number(self) -> u16 {
        self.0
    }
}

/// Who owns each slot, as one server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owners {
    /// Those that own slots.
    pub(super) primaries: Vec<Address>,
    /// The others, which may own some later.
    pub(super) replicas: Vec<Address>,
    /// For each slot, an index into `primaries`.
    of: Vec<u16>,
}

impl Owners {
    /// Reads a reply to `CLUSTER SLOTS` of the server at `asked`. None if it is no such reply.
    pub(super) fn read(reply: Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut owners = Self { primaries: Vec::new(), replicas: Vec::new(), of: vec![NOBODY; COUNT] };
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = range.as_slice() else { return None };
            let slots = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
            owners.assign(slots, read_address(primary, asked)?)?;
            for replica in replicas.iter().filter_map(|replica| read_address(replica, asked)) {
                if !owners.replicas.contains(&replica) {
                    owners.replicas.push(replica);
                }
            }
        }
        Some(owners)
    }

    fn assign(&mut self, slots: RangeInclusive<usize>, primary: Address) -> Option<()> {
        let known = self.primaries.iter().position(|known| *known == primary);
        let index = known.unwrap_or_else(|| {
            self.primaries.push(primary);
            self.primaries.len() - 1
        });
        let index = u16::try_from(index).ok().filter(|index| *index != NOBODY)?;
        self.of.get_mut(slots)?.fill(index);
        Some(())
    }

    /// The index of the owner of a slot.
    pub(super) fn index(&self, slot: Slot) -> Option<usize> {
        self.of.get(usize::from(slot.0)).filter(|index| **index != NOBODY).map(|index| usize::from(*index))
    }

    pub(super) fn address(&self, slot: Slot) -> Option<&Address> {
        self.primaries.get(self.index(slot)?)
    }

    /// How many slots nobody owns.
    pub(super) fn unowned(&self) -> usize {
        self.of.iter().filter(|index| **index == NOBODY).count()
    }

    /// A hash tag in one of the slots that `owner` has.
    pub(super) fn tag(&self, owner: &Address) -> Option<String> {
        // From a chance beginning, so that nodes do not all lose theirs when one slot is moved. Of so many some are in any
        // slot.
        let start = rand::random_range(0..1_000_000);
        let tags = (start..start + 20 * COUNT).map(|number| number.to_string());
        tags.into_iter().find(|tag| self.address(Slot::of(tag)) == Some(owner))
    }
}

/// `[host, port, ...]`. A server that does not know its own host leaves it to whoever asked.
fn read_address(server: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(server) = server else { return None };
    let [host, Value::Int(port), ..] = server.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        _ => "",
    };
    let host = if host.is_empty() { &asked.0 } else { host };
    Some((host.to_owned(), u16::try_from(*port).ok()?))
}

/// CRC-16/XMODEM, as the cluster's specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString(b"id".to_vec())])
    }

    fn range(first: i64, last: i64, servers: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(first), Value::Int(last)], servers].concat())
    }

    fn address(host: &str, port: u16) -> Address {
        (host.to_owned(), port)
    }

    #[test]
    fn keys_are_hashed_as_redis_does() {
        // The check value of the specification, and what CLUSTER KEYSLOT says.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(
            [Slot::of("foo").number(), Slot::of("user.42").number()],
            [12_182, Slot(crc16(b"user.42") % 16_384).0]
        );
    }

    #[test]
    fn each_slot_has_the_owner_that_is_told() {
        let reply = Value::Array(vec![
            range(0, 99, vec![server("a", 1), server("b", 2)]),
            range(100, 16_000, vec![server("", 3)]),
            range(16_001, 16_002, vec![server("a", 1), server("b", 2)]),
        ]);
        let owners = Owners::read(reply, &address("asked", 9)).unwrap();
        assert_eq!(owners.primaries, [address("a", 1), address("asked", 3)]);
        assert_eq!(owners.replicas, [address("b", 2)]);
        let of = |slot| owners.address(Slot(slot)).map(|(host, _)| host.as_str());
        assert_eq!(
            [of(0), of(99), of(100), of(16_002), of(16_003)],
            [Some("a"), Some("a"), Some("asked"), Some("a"), None]
        );
        assert_eq!(owners.unowned(), 381);
        let tag = owners.tag(&address("a", 1)).unwrap();
        assert_eq!(owners.address(Slot::of(&tag)), Some(&address("a", 1)));
        assert_eq!(owners.tag(&address("b", 2)), None);
    }

    #[test]
    fn what_is_no_map_is_none() {
        let asked = address("asked", 9);
        for reply in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 16_384, vec![server("a", 1)])]),
            Value::Array(vec![range(-1, 5, vec![server("a", 1)])]),
            Value::Array(vec![range(0, 5, vec![server("a", 70_000)])]),
            Value::Array(vec![range(0, 5, vec![])]),
        ] {
            assert_eq!(Owners::read(reply.clone(), &asked), None, "{reply:?}");
        }
    }
}
