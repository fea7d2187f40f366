//! The program itself, as its users start it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::eventually;

/// A command of the program, which knows no environment of ours.
pub(crate) fn fanfare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FANFARE_")) {
        command.env_remove(name);
    }
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    fanfare(arguments).output().unwrap()
}

/// What a command wrote to standard output.
pub(crate) fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What a command wrote to standard error.
pub(crate) fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A program that goes on running. It ends with this value.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// `serve`, with its log in a file.
    pub(crate) fn serve(config: &Path, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let mut command = fanfare(&["serve", "--config"]);
        command.arg(config).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap() }
    }

    /// Any command, with its output in a file.
    pub(crate) fn run(mut command: Command, output: &Path) -> Self {
        let output = std::fs::File::create(output).unwrap();
        Self { child: command.stdout(output).stderr(Stdio::null()).spawn().unwrap() }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// What is resident of it, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits for its end, which must be a success.
    pub(crate) async fn succeeds(&mut self) {
        let child = &mut self.child;
        eventually("the program ends", async || child.try_wait().unwrap().is_some()).await;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, with `input` as its standard input.
pub(crate) fn run_with_input(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
