//! The commands, one file each.

mod bench;
mod check;
mod client;
mod config;
mod demo;
mod difference;
mod explain;
mod key;
mod publish;
mod replay;
mod schema;
mod serve;
mod status;
mod subscribe;
mod test;
mod token;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};

use self::status::Status;
use crate::config::Diagnostics;
use crate::telemetry::{self, Format};

/// Routes notifications to browsers: rules in TOML, filters in Rhai, streams over Server-Sent Events.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = status::help())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(ConfigArgs),
    /// Check a configuration and run its tests
    #[command(after_help = status::help())]
    Check(check::CheckArgs),
    /// Run the tests of a configuration, and show why one fails
    #[command(after_help = status::help())]
    Test(test::TestArgs),
    /// List, compare and put back the revisions that the server took
    Config(config::HistoryArgs),
    /// Print the JSON Schema of a configuration, for editors: with the names of the one at hand if it has no error
    Schema(ConfigArgs),
    /// Show what would become of a notification, rule by rule, or ask a server what became of one
    Explain(explain::ExplainArgs),
    /// Publish a notification
    Publish(publish::PublishArgs),
    /// Print what a subscriber receives
    Subscribe(subscribe::SubscribeArgs),
    /// Mint a token of an issuer that has a shared secret, for development
    Token(token::TokenArgs),
    /// Make an API key and the hash to configure
    Key(key::KeyArgs),
    /// Show the main job: a server, a producer, a subscriber and a live page
    Demo(demo::DemoArgs),
    /// Load a server and measure it: exit status 1 when a notification was lost, doubled, out of order or misdelivered
    Bench(bench::BenchArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The main configuration file
    #[arg(long, value_name = "PATH", env = "FANFARE_CONFIG", default_value = "config/fanfare.toml", global = true)]
    config: PathBuf,
}

impl Cli {
    /// Runs the command. Errors go to standard error, what was asked for to standard output.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(args) => with_runtime(serve::serve(args)),
            Command::Check(args) => with_runtime(check::check(args)),
            Command::Test(args) => test::test(&args),
            Command::Config(args) => config::config(&args),
            Command::Schema(args) => schema::schema(&args),
            Command::Explain(args) => with_runtime(explain::explain(args)),
            Command::Publish(args) => with_runtime(publish::publish(args)),
            Command::Subscribe(args) => with_runtime(subscribe::subscribe(args)),
            Command::Token(args) => token::token(&args),
            Command::Key(args) => key::key(&args),
            Command::Demo(args) => with_runtime(demo::demo(args)),
            Command::Bench(args) => with_runtime(bench::bench(args)),
        };
        done.unwrap_or_else(|error| {
            // Standard error may be closed; the exit status says it as well.
            let _ = writeln!(io::stderr(), "error: {}", format!("{error:#}").trim_end());
            if error.is::<Misused>() { Status::Misused.into() } else { Status::Failed.into() }
        })
    }
}

/// What is wrong with how a command was called, where the parser of arguments cannot tell.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misused(String);

fn with_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let _logging = telemetry::init(Format::detect())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(command)
}

/// The error of a command that needs a configuration without errors.
fn faulty(diagnostics: &Diagnostics) -> anyhow::Error {
    anyhow!("the configuration has errors\n{diagnostics}")
}

/// Prints to standard output. A reader that went away, as `head` does, is not an error of ours.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// The text of a file, or of standard input for `-`.
fn read_input(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut text).context("standard input")?;
    } else {
        text = std::fs::read(path).with_context(|| path.display().to_string())?;
    }
    Ok(text)
}
