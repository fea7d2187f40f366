//! A TCP proxy, through which a scenario cuts connections that nobody closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A proxy. It ends with this value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: Arc<Mutex<CancellationToken>>,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let open = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (current, count) = (Arc::clone(&cut), Arc::clone(&open));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (cut, count) = (current.lock().clone(), Arc::clone(&count));
                connections.spawn(async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    cut.run_until_cancelled(forward(client, target)).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, cut, open, _tasks: tasks }
    }

    /// Cuts every connection that is open now.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock()).cancel();
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
