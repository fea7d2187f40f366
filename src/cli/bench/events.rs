//! Server-Sent Events, read as their lines come in.

use memchr::memchr;

/// The data of Server-Sent Events, as their lines come in. Lines end with LF or CRLF; a lone CR is not known.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The line that is not whole yet.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    /// Takes the next bytes, and shows `each` the name and data of every event that they end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.line.is_empty() {
                self.take(line, &mut each);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take(&whole, &mut each);
                // Its room is used again.
                whole.clear();
                self.line = whole;
            }
        }
        self.line.extend_from_slice(bytes);
    }

    fn take(&mut self, line: &[u8], each: &mut impl FnMut(&[u8], &[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(data) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        } else if let Some(name) = line.strip_prefix(b"event:") {
            self.name.extend_from_slice(name.strip_prefix(b" ").unwrap_or(name));
        } else if line.is_empty() {
            if !self.data.is_empty() {
                each(&self.name, &self.data);
            }
            self.name.clear();
            self.data.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str;

    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream =
            ":\nevent: hello\nretry: 700\ndata: {}\nid: 1\n\n: a comment\ndata:x\r\ndata: y\r\n\r\nid: 2\n\ndata: z";
        for size in 1..stream.len() {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for piece in stream.as_bytes().chunks(size) {
                events.feed(piece, |name, data| {
                    seen.push(format!("{}={}", str::from_utf8(name).unwrap(), str::from_utf8(data).unwrap()));
                });
            }
            assert_eq!(seen, ["hello={}", "=xy"], "{size}");
        }
    }
}
