//! A TCP proxy, through which a scenario does to connections what networks do: it cuts, resets and half-closes them,
//! delays what passes, and swallows it without a word to either end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy's own socket holds of what its client does not take: little, so that a server whose client stalls
/// feels it.
const RECEIVE_BUFFER: u32 = 64 * 1_024;

/// A proxy. It ends with this value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    net: Arc<Net>,
    _tasks: JoinSet<()>,
}

/// What a connection to Redis is for. Whatever has subscribed is a feed, all others are commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Commands,
    Feed,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// What is sent arrives, this much later.
    Pass(Duration),
    /// What is sent waits, and neither end is told.
    Hold,
    /// Both ends are told that it ended.
    Cut,
    /// Both ends are told that it broke.
    Reset,
    /// The client is told that nothing more comes, while what it sends goes on to arrive.
    HalfClose,
}

impl Order {
    fn ends(self) -> bool {
        matches!(self, Self::Cut | Self::Reset | Self::HalfClose)
    }
}

/// As the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Outward,
    Inward,
}

struct Net {
    target: Mutex<SocketAddr>,
    /// What becomes of connections that are made from now on, by path.
    weather: Mutex<[Order; 2]>,
    wires: Mutex<Vec<Arc<Wire>>>,
}

/// A connection that stands.
struct Wire {
    feed: AtomicBool,
    order: watch::Sender<Order>,
}

impl Wire {
    fn path(&self) -> Path {
        if self.feed.load(Ordering::Acquire) { Path::Feed } else { Path::Commands }
    }
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Mutex::new([Order::Pass(Duration::ZERO); 2]);
        let net = Arc::new(Net { target: Mutex::new(target), weather, wires: Mutex::default() });
        let mut tasks = JoinSet::new();
        let accepting = Arc::clone(&net);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&accepting).connect(client));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, net, _tasks: tasks }
    }

    /// Cuts every connection that is open now.
    pub(crate) fn cut(&self) {
        for path in [Path::Commands, Path::Feed] {
            self.tell(path, Order::Cut);
        }
    }

    /// Leads connections that are made from now on to another server.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.net.target.lock() = target;
    }

    /// Does this to the connections that are open now. Those made later are as before.
    pub(crate) fn tell(&self, path: Path, order: Order) {
        let wires = self.net.wires.lock();
        for wire in wires.iter().filter(|wire| wire.path() == path) {
            // What has ended stays so.
            wire.order.send_if_modified(|now| {
                let stands = !now.ends();
                if stands {
                    *now = order;
                }
                stands
            });
        }
    }

    /// Does this to the connections that are open now, and to those that are made from now on.
    pub(crate) fn set(&self, path: Path, order: Order) {
        self.net.weather.lock()[path as usize] = order;
        self.tell(path, order);
    }
}

impl Net {
    async fn connect(self: Arc<Self>, client: TcpStream) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        let target = *self.target.lock();
        let Ok(server) = socket.connect(target).await else { return };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let order = watch::Sender::new(self.weather.lock()[Path::Commands as usize]);
        let wire = Arc::new(Wire { feed: AtomicBool::new(false), order });
        self.wires.lock().push(Arc::clone(&wire));
        self.forward(client, server, &wire).await;
        self.wires.lock().retain(|other| !Arc::ptr_eq(other, &wire));
    }

    async fn forward(&self, mut client: TcpStream, mut server: TcpStream, wire: &Wire) {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut orders = wire.order.subscribe();
        let order = tokio::select! {
            _ = futures_util::future::join(
                self.pump(from_client, to_server, wire, Direction::Outward),
                self.pump(from_server, to_client, wire, Direction::Inward),
            ) => return,
            order = orders.wait_for(|order| order.ends()) => *order.unwrap(),
        };
        match order {
            Order::Reset => {
                for stream in [&client, &server] {
                    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
                }
            }
            Order::HalfClose => {
                let _ = client.shutdown().await;
                let _ = tokio::io::copy(&mut client, &mut server).await;
            }
            Order::Pass(_) | Order::Hold | Order::Cut => {}
        }
    }

    /// Carries one direction until it ends.
    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        wire: &Wire,
        direction: Direction,
    ) {
        let mut orders = wire.order.subscribe();
        let mut bytes = vec![0; 16 * 1_024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if direction == Direction::Outward
                && wire.path() == Path::Commands
                && memchr::memmem::find(&bytes[..count], b"SUBSCRIBE").is_some()
            {
                // What a connection is for shows only when it subscribes.
                wire.feed.store(true, Ordering::Release);
                wire.order.send_replace(self.weather.lock()[Path::Feed as usize]);
            }
            let order = orders.wait_for(|order| *order != Order::Hold).await.map(|order| *order);
            if let Ok(Order::Pass(delay)) = order
                && !delay.is_zero()
            {
                tokio::time::sleep(delay).await;
            }
            if to.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }
}
