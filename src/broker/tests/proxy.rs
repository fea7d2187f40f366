//! A TCP proxy before a server, which can make subscriptions deaf while their connections stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::server::Server;

/// A proxy. It ends with this value.
pub(super) struct Proxy {
    port: u16,
    mute: Arc<AtomicBool>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = format!("127.0.0.1:{}", server.port());
        let mute = Arc::new(AtomicBool::new(false));
        let muted = Arc::clone(&mute);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                connections.spawn(forward(client, server, Arc::clone(&muted)));
            }
        });
        Self { port, mute, _accepting: accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Swallows from now on what the server sends to the connections that have subscribed. Later ones hear again.
    pub(super) fn mute_subscribers(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, mute: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut subscriber = false;
    let mut deaf = false;
    loop {
        tokio::select! {
            Ok(len @ 1..) = from_client.read(&mut up) => {
                if !subscriber && up[..len].windows(9).any(|word| word == b"SUBSCRIBE") {
                    subscriber = true;
                    // What was muted has been replaced by this connection.
                    mute.store(false, Ordering::SeqCst);
                }
                let _ = to_server.write_all(&up[..len]).await;
            }
            Ok(len @ 1..) = from_server.read(&mut down) => {
                deaf |= subscriber && mute.load(Ordering::SeqCst);
                if !deaf {
                    let _ = to_client.write_all(&down[..len]).await;
                }
            }
            else => return,
        }
    }
}
