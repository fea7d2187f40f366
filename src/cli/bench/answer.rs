//! HTTP/1.1 answers, read piece by piece as they come: as much of the protocol as a subscriber and a producer meet.

use std::str;

/// Most headers of an answer.
const MAX_HEADERS: usize = 64;

/// The answer is not HTTP/1.1, or not as RFC 9112 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not HTTP/1.1")]
pub(super) struct Malformed;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Body,
    /// How many bytes it takes.
    pub(super) len: usize,
}

impl Head {
    /// Reads the head that `bytes` begin with; none while it is not whole.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = response.parse(bytes).map_err(|_| Malformed)? else { return Ok(None) };
        let status = response.code.ok_or(Malformed)?;
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| str::from_utf8(header.value).ok())
        };
        let is_chunked = header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let body = match header("content-length") {
            _ if is_chunked => Body::Chunked(Chunks::Size(0)),
            _ if status == 204 => Body::Sized(0),
            Some(size) => Body::Sized(size.trim().parse().map_err(|_| Malformed)?),
            None => Body::Endless,
        };
        Ok(Some(Self { status, body, len }))
    }
}

/// What of a body is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// That many bytes.
    Sized(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All until the connection ends.
    Endless,
}

/// Where in the chunks it is (RFC 9112, section 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a size.
    Size(u64),
    /// After them, on the same line.
    Extension(u64),
    /// In the bytes of a chunk, of which that many are left.
    Data(u64),
    /// After them, before the next size.
    DataEnd,
    /// After the last chunk; whether the line has something on it.
    Trailer(bool),
    Over,
}

impl Body {
    /// Whether all of it was taken.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunks::Over))
    }

    /// Takes the next bytes of the body from `rest`; empty when more must be read.
    pub(super) fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Sized(left) => Ok(take(rest, left)),
            Self::Endless => Ok(std::mem::take(rest)),
            Self::Chunked(chunks) => {
                while !rest.is_empty() && *chunks != Chunks::Over {
                    let piece = chunks.step(rest)?;
                    if !piece.is_empty() {
                        return Ok(piece);
                    }
                }
                Ok(&[])
            }
        }
    }
}

impl Chunks {
    fn step<'a>(&mut self, rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
        if let Self::Data(left) = self {
            let piece = take(rest, left);
            if *left == 0 {
                *self = Self::DataEnd;
            }
            return Ok(piece);
        }
        let Some((&byte, tail)) = rest.split_first() else { return Ok(&[]) };
        *rest = tail;
        *self = match (&*self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer(false),
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(*size),
            (Self::Size(size), b'\r' | b';' | b' ') | (Self::Extension(size), _) => Self::Extension(*size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
                Self::Size(size.checked_mul(16).ok_or(Malformed)? + u64::from(digit))
            }
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::Trailer(false), b'\n') | (Self::Over, _) => Self::Over,
            (Self::Trailer(true), b'\n') => Self::Trailer(false),
            (Self::Trailer(has), byte) => Self::Trailer(*has || byte != b'\r'),
            (Self::DataEnd | Self::Data(_), _) => return Err(Malformed),
        };
        Ok(&[])
    }
}

/// Takes as many of `left` bytes as there are.
fn take<'a>(rest: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
    let (piece, tail) = rest.split_at(count);
    *rest = tail;
    *left -= count as u64;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer in pieces of `size` bytes.
    fn read(answer: &str, size: usize) -> Result<(u16, Vec<u8>, bool), Malformed> {
        let mut head = Vec::new();
        let (mut status, mut body, mut taken) = (0, None, Vec::new());
        for piece in answer.as_bytes().chunks(size) {
            let mut rest = piece;
            if body.is_none() {
                head.extend_from_slice(piece);
                let Some(parsed) = Head::parse(&head)? else { continue };
                rest = &head[parsed.len..];
                (status, body) = (parsed.status, Some(parsed.body));
            }
            let body = body.as_mut().unwrap();
            while !rest.is_empty() && !body.is_over() {
                taken.extend_from_slice(body.next(&mut rest)?);
            }
        }
        Ok((status, taken, body.is_some_and(|body| body.is_over())))
    }

    #[test]
    fn a_body_is_read_however_it_is_cut() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
             5;x=y\r\nhello\r\n0A\r\n, you ther\r\n0\r\nX: y\r\n\r\n";
        let sized = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        let endless = "HTTP/1.0 200 OK\r\n\r\ndata";
        for size in 1..chunked.len() {
            assert_eq!(read(chunked, size), Ok((200, b"hello, you ther".to_vec(), true)), "{size}");
            assert_eq!(read(sized, size), Ok((202, b"{}".to_vec(), true)), "{size}");
            assert_eq!(read(endless, size), Ok((200, b"data".to_vec(), false)), "{size}");
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for answer in ["SSH-2.0-x\r\n\r\n".to_owned(), format!("{chunked}x\r\n"), format!("{chunked}1\r\nabc")] {
            assert_eq!(read(&answer, 4), Err(Malformed), "{answer}");
        }
        let endless = format!("{chunked}{}\r\n", "f".repeat(40));
        assert_eq!(read(&endless, 4), Err(Malformed));
    }
}
