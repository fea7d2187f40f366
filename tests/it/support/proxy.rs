//! A TCP proxy, through which a scenario cuts connections that nobody closed.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A proxy. It ends with this value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    cut: Arc<Mutex<CancellationToken>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let mut tasks = JoinSet::new();
        let (leads_to, current) = (Arc::clone(&target), Arc::clone(&cut));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (target, cut) = (*leads_to.lock(), current.lock().clone());
                connections.spawn(async move { cut.run_until_cancelled(forward(client, target)).await });
            }
        });
        Self { address, target, cut, _tasks: tasks }
    }

    /// Cuts every connection that is open now.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock()).cancel();
    }

    /// Leads connections that are made from now on to another server.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock() = target;
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
