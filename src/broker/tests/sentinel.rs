//! A real Sentinel of a test's own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A Sentinel that knows one primary, and lets in nobody but `watcher`, who may ask what a node asks.
pub(super) struct Sentinel {
    pub(super) port: u16,
    process: Child,
    _folder: TempDir,
}

impl Sentinel {
    /// It watches the primary at a port.
    pub(super) fn start(primary: &str) -> Self {
        Self::start_with(primary, |port| format!("port {port}\n"))
    }

    /// It listens, and watches, with TLS only. `options` are those of a server, on a command line.
    pub(super) fn with_tls(primary: &str, options: &[String]) -> Self {
        let options: String = options.join(" ").split("--").skip(1).map(|option| format!("{option}\n")).collect();
        Self::start_with(primary, |port| format!("port 0\ntls-port {port}\ntls-replication yes\n{options}"))
    }

    fn start_with(primary: &str, listen: impl Fn(u16) -> String) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "{}bind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 1\nuser default off\n\
             user watcher on >see&tell -@all +sentinel|master +sentinel|get-master-addr-by-name\n",
            listen(port),
            folder.path().display(),
        );
        fs::write(&file, text).unwrap();
        let process = Command::new("redis-server").arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self { port, process, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
