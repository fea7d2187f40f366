//! What processes of this machine use, from /proc; and how many files this one may open.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A process on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u32);

impl Process {
    /// The process of that number.
    pub(super) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// This one.
    pub(super) fn own() -> Self {
        Self(std::process::id())
    }

    pub(super) fn pid(self) -> u32 {
        self.0
    }

    /// The processor time that it has used, to the kernel's tick, which is 10 ms on most machines. None where there is
    /// no such process, or no /proc.
    pub(super) fn cpu(self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name before it is in parentheses, and may have anything in it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
    }

    /// Its memory in KiB: its share of what is resident or, where only its owner may see that, all that is resident.
    pub(super) fn memory_kib(self) -> Option<u64> {
        self.field("smaps_rollup", "Pss:").or_else(|| self.field("status", "VmRSS:"))
    }

    fn field(self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// Sees to it that `needed` files may be open, as far as the hard limit lets it. A server that is started from here
/// inherits that.
pub(super) fn allow_open_files(needed: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        bail!(
            "so many connections need {needed} open files, and the hard limit is {maximum}: raise it, as with \
             `ulimit -Hn {needed}` as root or LimitNOFILE={needed} in a systemd unit"
        );
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.context("the limit of open files cannot be raised; try `ulimit -Sn hard`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_something_and_no_process_nothing() {
        let own = Process::own();
        assert!(own.cpu().is_some() && own.memory_kib().is_some_and(|kib| kib > 100));
        let nobody = Process::new(u32::MAX);
        assert_eq!((nobody.cpu(), nobody.memory_kib()), (None, None));
    }

    #[test]
    fn more_files_than_the_hard_limit_are_refused_with_advice() {
        allow_open_files(1).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(allow_open_files(u64::MAX).unwrap_err().to_string().contains("ulimit -Hn"));
        }
    }
}
