//! The mark that every notification of a run carries: which it is, and when it was sent.

use memchr::memmem::Finder;

/// What makes and finds the marks of one run. Those of others, and other notifications, are not seen.
#[derive(Debug)]
pub(super) struct Marks {
    prefix: String,
    finder: Finder<'static>,
}

/// Which notification it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Who published it.
    pub(super) publisher: usize,
    /// To which channel.
    pub(super) channel: usize,
    /// Its number among those of that publisher on that channel, from 0.
    pub(super) seq: u64,
    /// When it was sent, in nanoseconds of the run's clock; 0 when it is not measured.
    pub(super) sent: u64,
}

impl Marks {
    /// The marks of the run of that number.
    pub(super) fn new(run: u32) -> Self {
        // Letters, digits and signs that JSON leaves as they are.
        let prefix = format!("bench~{run:08x}~");
        let finder = Finder::new(&prefix).into_owned();
        Self { prefix, finder }
    }

    /// The text of a mark.
    pub(super) fn write(&self, mark: Mark) -> String {
        let Mark { publisher, channel, seq, sent } = mark;
        format!("{}{publisher}.{channel}.{seq}.{sent}~", self.prefix)
    }

    /// The first mark in `text`.
    pub(super) fn find(&self, text: &[u8]) -> Option<Mark> {
        let mut rest = &text[self.finder.find(text)? + self.prefix.len()..];
        Some(Mark {
            publisher: number(&mut rest, b'.')? as usize,
            channel: number(&mut rest, b'.')? as usize,
            seq: number(&mut rest, b'.')?,
            sent: number(&mut rest, b'~')?,
        })
    }
}

/// Takes a number and the byte that ends it.
fn number(rest: &mut &[u8], end: u8) -> Option<u64> {
    let mut number = 0_u64;
    while let Some((&byte, tail)) = rest.split_first() {
        *rest = tail;
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            _ if byte == end => return Some(number),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_was_written() {
        let marks = Marks::new(7);
        let mark = Mark { publisher: 3, channel: 1_999, seq: u64::MAX, sent: 12_345 };
        let text = format!("{{\"title\":\"{}\"}}", marks.write(mark));
        assert_eq!(marks.find(text.as_bytes()), Some(mark));
        assert_eq!(Marks::new(8).find(text.as_bytes()), None, "another run's");
        for broken in ["bench~00000007~1.2.3", "bench~00000007~1.2.x.4~", "bench~00000007~99999999999999999999.2.3.4~"]
        {
            assert_eq!(marks.find(broken.as_bytes()), None, "{broken}");
        }
    }
}
