//! Logs, one event a line on standard error: readable on a terminal, JSON anywhere else.
//!
//! Lines go through a queue to a thread of their own. A reader that stops reading (a full pipe, a paused terminal)
//! costs lines, which are counted and told once it reads again; it never stops a worker.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The environment variable that says what is logged, such as `info,fanfare::broker=debug`.
const FILTER: &str = "FANFARE_LOG";
/// Most lines that wait for the reader.
const QUEUE: usize = 8_192;
/// How long the end of the process waits for the last lines to be read.
const FLUSH: Duration = Duration::from_secs(1);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pretty,
    /// For machines, one object a line.
    Json,
}

impl Format {
    /// [`Format::Pretty`] on a terminal, else [`Format::Json`].
    #[must_use]
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter cannot be understood.
    #[error("{FILTER} is not a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The thread that writes could not be started.
    #[error("the log's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
    /// Something else logs already.
    #[error("logging has been started before")]
    Twice,
}

/// Keeps logging alive; dropping it waits a moment for the last lines to be written.
#[derive(Debug)]
pub struct Logging {
    lines: SyncSender<Line>,
}

enum Line {
    Text(Vec<u8>),
    /// Everything before it has been written once its sender is dropped.
    Flush(#[expect(dead_code, reason = "only its being dropped says something")] SyncSender<()>),
}

/// Starts logging for the whole process.
///
/// # Errors
/// See [`InitError`].
pub fn init(format: Format) -> Result<Logging, InitError> {
    let filter = match std::env::var(FILTER) {
        Ok(directives) => EnvFilter::try_new(directives)?,
        Err(_) => EnvFilter::new("info"),
    };
    let (lines, queue) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = LossyWriter { lines: lines.clone(), lost: Arc::clone(&lost) };
    std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&queue, &lost, format, io::stderr()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Pretty => builder.compact().with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    }
    .map_err(|_| InitError::Twice)?;
    Ok(Logging { lines })
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, wait) = sync_channel(0);
        // Not `send`: a full queue means that nobody reads.
        if self.lines.try_send(Line::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

/// Writes what comes through the queue, and how many lines did not fit into it.
fn write_lines(queue: &Receiver<Line>, lost: &AtomicU64, format: Format, mut output: impl Write) {
    for line in queue {
        // A log that cannot be written has nobody to tell.
        let _ = match line {
            Line::Text(text) => output.write_all(&text),
            Line::Flush(_) => output.flush(),
        };
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let message = format!("{lost} lines of the log were lost, as nobody read them");
            let _ = match format {
                Format::Pretty => writeln!(output, "WARN {message}"),
                Format::Json => writeln!(output, r#"{{"level":"WARN","message":"{message}"}}"#),
            };
        }
    }
}

/// Puts each event, which the subscriber writes in one piece, into the queue.
#[derive(Debug, Clone)]
struct LossyWriter {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

impl Write for LossyWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(text.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LossyWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let (lines, queue) = sync_channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = LossyWriter { lines, lost: Arc::clone(&lost) };
        for line in ["a\n", "b\n", "c\n", "d\n"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        drop(writer);
        let mut output = Vec::new();
        write_lines(&queue, &lost, Format::Pretty, &mut output);
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.lines().next(), Some("a"));
        assert!(text.contains("2 lines of the log were lost"), "{text}");
        assert!(text.ends_with("b\n"));
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        let (lines, queue) = sync_channel(2);
        let written = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let output = Shared(Arc::clone(&written));
        std::thread::spawn(move || write_lines(&queue, &AtomicU64::new(0), Format::Json, output));
        lines.send(Line::Text(b"last\n".to_vec())).unwrap();
        drop(Logging { lines });
        assert_eq!(*written.lock(), b"last\n");
    }

    struct Shared(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
