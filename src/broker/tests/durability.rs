//! What a publish waits for beyond the server's own reply, with real replicas and disks.

use std::num::NonZeroU8;

use tokio::time::Instant;

use super::*;
use crate::config::Durability;

/// How long a publish may wait.
const TIMEOUT: Duration = Duration::from_millis(1_500);

fn replicas(count: u8) -> Durability {
    Durability::Replica(NonZeroU8::new(count).unwrap())
}

fn durable(server: &Server, durability: Durability) -> config::Broker {
    config::Broker { durability, timeout: TIMEOUT, ..config(&server.url()) }
}

/// A server and a replica that follows it.
async fn pair() -> (Server, Server) {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port()]).await;
    // A new replica gets what is written only after its first report, up to a second later. What it has first may have
    // come with the copy that it begins with; the second came by following.
    let wait = async {
        for value in ["first", "second"] {
            primary.run(&format!("SET paired {value}")).await;
            while ::redis::from_redis_value::<Option<String>>(replica.run("GET paired").await).unwrap().as_deref()
                != Some(value)
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the replica does not follow");
    (primary, replica)
}

/// How many records the server has in the normal lane of `user.1`.
async fn length(server: &Server) -> u64 {
    ::redis::from_redis_value(server.run("LLEN test:{user.1}:n").await).unwrap()
}

#[tokio::test]
async fn what_is_accepted_is_at_the_replica() {
    let (primary, replica) = pair().await;
    let mut node = Node::start(&durable(&primary, replicas(1)));
    node.is_ready().await;
    assert_eq!(&*node.broker.durability(), "replica:1");
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    for round in 1..=50 {
        if round % 10 == 5 {
            primary.run("SCRIPT FLUSH").await;
        }
        assert_eq!(node.publish(&user, "{}").await.position.seq, round);
        assert_eq!(length(&replica).await, round);
        assert_eq!(node.heard.publication().await.record.seq, round);
    }
}

#[tokio::test]
async fn many_publishes_share_one_wait() {
    let (primary, _replica) = pair().await;
    let node = Node::start(&durable(&primary, replicas(1)));
    node.is_ready().await;
    primary.run("CONFIG RESETSTAT").await;
    let user = channel("user.1");
    let publishes = (0..500).map(|_| node.publish(&user, "{}"));
    let mut seqs: Vec<_> =
        futures_util::future::join_all(publishes).await.iter().map(|published| published.position.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, range(1..=500));
    let stats: String = ::redis::from_redis_value(primary.run("INFO commandstats").await).unwrap();
    let waits = stats.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")).unwrap();
    let waits: u64 = waits.split(',').next().unwrap().parse().unwrap();
    assert!(waits < 50, "500 publishes took {waits} waits");
}

#[tokio::test]
async fn without_the_replica_the_outcome_is_unknown_and_a_repeat_is_accepted_when_it_is_back() {
    let (primary, replica) = pair().await;
    let node = Node::start(&durable(&primary, replicas(1)));
    node.is_ready().await;
    let user = channel("user.1");
    node.publish(&user, "first").await;
    replica.freeze();
    // The second finds the record there, which is not enough.
    for _ in 0..2 {
        let begun = Instant::now();
        let unknown = node.try_publish(keyed(&user, "second", 2)).await;
        assert_eq!(unknown, Err(PublishFailed::UnknownOutcome(TIMEOUT)));
        assert!(begun.elapsed() < 2 * TIMEOUT, "it took {:?}", begun.elapsed());
    }
    assert_eq!(length(&primary).await, 2);
    replica.thaw();
    let second = node.persist(keyed(&user, "second", 2)).await;
    assert!(second.duplicate && second.position.seq == 2, "{second:?}");
    assert_eq!(length(&replica).await, 2);
}

#[tokio::test]
async fn a_publish_whose_turn_does_not_come_is_not_sent() {
    let (primary, replica) = pair().await;
    let node = Node::start(&durable(&primary, replicas(1)));
    node.is_ready().await;
    let user = channel("user.1");
    replica.freeze();
    let late = async {
        tokio::time::sleep(TIMEOUT / 10).await;
        // It has to wait for the one before it, which takes nearly all of its time.
        node.broker.store(batch(&user, "late", Priority::Medium), |_, _| unreachable!(), node.broker.deadline()).await
    };
    let (early, late) = tokio::join!(node.try_publish(batch(&user, "early", Priority::Medium)), late);
    assert_eq!(early, Err(PublishFailed::UnknownOutcome(TIMEOUT)));
    let stored = length(&primary).await;
    match late {
        Err(PublishFailed::NotAccepted(_)) => assert_eq!(stored, 1),
        Err(PublishFailed::UnknownOutcome(_)) => assert_eq!(stored, 2),
        other => panic!("{other:?}"),
    }
    replica.thaw();
    assert_eq!(node.persist(keyed(&user, "after", 3)).await.position.seq, stored + 1);
}

#[tokio::test]
async fn fewer_replicas_than_configured_are_not_enough() {
    let (primary, _replica) = pair().await;
    let node = Node::start(&durable(&primary, replicas(2)));
    assert_eq!(node.broker.check().await, Ok(()));
    node.is_ready().await;
    let user = channel("user.1");
    let unknown = node.try_publish(batch(&user, "{}", Priority::Medium)).await;
    assert_eq!(unknown, Err(PublishFailed::UnknownOutcome(TIMEOUT)));
    primary.run("CONFIG SET min-replicas-to-write 2").await;
    let refused = node.try_publish(batch(&user, "{}", Priority::Medium)).await;
    assert_eq!(refused, Err(PublishFailed::NotAccepted("NOREPLICAS".to_owned())));
}

#[tokio::test]
async fn killed_connections_confirm_nothing_that_is_not_at_the_replica() {
    let (primary, replica) = pair().await;
    let node = Node::start(&durable(&primary, replicas(1)));
    node.is_ready().await;
    let user = channel("user.1");
    let publish = async {
        for number in 0..300 {
            let published = node.persist(keyed(&user, &number.to_string(), number)).await;
            assert!(length(&replica).await >= published.position.seq);
        }
    };
    let kill = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            primary.run("CLIENT KILL TYPE normal").await;
        }
    };
    tokio::select! {
        () = publish => {}
        () = kill => {}
    }
    assert_eq!(length(&replica).await, 300);
}

#[tokio::test]
async fn a_disk_that_is_not_waited_for_is_refused() {
    for arguments in [&[][..], &["--appendonly", "yes"], &["--appendonly", "yes", "--appendfsync", "everysec"]] {
        let server = Server::start(arguments).await;
        let asked = ::redis::from_redis_value::<String>(server.run("INFO server").await).unwrap();
        if !asked.contains("redis_version:7.0") && !arguments.is_empty() {
            continue; // It can be asked for what is on its disk.
        }
        let node = Node::start(&durable(&server, Durability::Fsync));
        let unfit = node.broker.check().await.unwrap_err().to_string();
        assert!(unfit.contains("appendfsync always"), "{unfit}");
        eventually(|| node.broker.readiness().unwrap_err().contains("fsync")).await;
    }
}

#[tokio::test]
async fn a_disk_that_comes_first_is_taken() {
    let server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let node = Node::start(&durable(&server, Durability::Fsync));
    assert_eq!(node.broker.check().await, Ok(()));
    node.is_ready().await;
    assert_eq!(&*node.broker.durability(), "fsync");
    assert_eq!(node.publish(&channel("user.1"), "{}").await.position.seq, 1);
}
