//! The exit statuses: one list for all commands.

use std::process::ExitCode;

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It did what was asked for.
    Done = 0,
    /// It did not, or found what must not be.
    Failed = 1,
    /// It was not called as it should be. The parser of arguments ends with this as well.
    Misused = 2,
    /// A configuration has warnings, and they are denied.
    WarningsDenied = 3,
    /// A configuration has no error but tests that fail.
    TestsFailed = 4,
}

impl Status {
    const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Misused, Self::WarningsDenied, Self::TestsFailed];

    /// What it means, word for word as the documentation has it.
    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, and nothing is wrong",
            Self::Failed => "an error: it is told on standard error, or in the report",
            Self::Misused => "the command was not understood, or no test has that name",
            Self::WarningsDenied => "the configuration has warnings, and `--deny-warnings` was given",
            Self::TestsFailed => "the configuration has no error, but a test of it fails",
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// All of them, as a help text shows them.
pub(super) fn help() -> String {
    let lines = Status::ALL.map(|status| format!("\n  {}  {}", status as u8, status.meaning().replace('`', "")));
    format!("Exit status:{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_status_and_no_other() {
        let page = std::fs::read_to_string("docs/operator.md").unwrap();
        let section = page.split("### Exit statuses\n").nth(1).and_then(|rest| rest.split("\n#").next()).unwrap();
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(rows, Status::ALL.map(|status| format!("| {} | {} |", status as u8, status.meaning())));
    }
}
