//! The `fanfare` command.

use std::process::ExitCode;

use clap::Parser;
use fanfare::cli::Cli;

// Gives memory back after a wave of disconnects, which glibc's allocator does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
