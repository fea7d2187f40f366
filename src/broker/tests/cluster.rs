//! What the broker survives in a Redis cluster, on real servers.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};

use tokio::time::Instant;

use super::nodes::{Cluster, text, until};
use super::*;
use crate::broker::Unfit;
use crate::config::Durability;

/// As [`Node::persist`], which must not take for ever.
async fn persist(node: &Node, batch: Batch) -> Published {
    let persisted = tokio::time::timeout(PATIENCE, node.persist(batch.clone())).await;
    persisted.unwrap_or_else(|_| panic!("{:?} is not stored: {:?}", batch.messages[0].channel, node.broker.readiness()))
}

/// Publishes to channels in turn until it is told to stop, each text under a key of its own and until it is stored.
struct Load {
    stored: HashMap<ChannelName, Vec<String>>,
    slowest: Duration,
}

impl Load {
    async fn run(node: &Node, channels: &[ChannelName], stop: &AtomicBool) -> Self {
        let mut load = Self { stored: HashMap::new(), slowest: Duration::ZERO };
        for (number, name) in channels.iter().cycle().enumerate() {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let (text, begun) = (number.to_string(), Instant::now());
            let published = persist(node, keyed(name, &text, number as u128)).await;
            assert_eq!(&published.channel, name);
            load.slowest = load.slowest.max(begun.elapsed());
            load.stored.entry(name.clone()).or_default().push(text);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        load
    }

    /// Each channel has each text once, and in order.
    async fn is_kept(&self, node: &Node) {
        for (name, texts) in &self.stored {
            let begin = node.top(name).await;
            let page = node.read(name, Position::new(begin.epoch, 0)).await;
            assert_eq!(page.records.iter().map(text_of).collect::<Vec<_>>(), *texts, "{name}");
        }
    }
}

/// Follows several channels at once, as a hub does, with what one node hears of them.
struct Followers(Vec<Follower>);

impl Followers {
    async fn start(node: &Node, channels: &[ChannelName]) -> Self {
        let mut followers = Vec::new();
        for name in channels {
            followers.push(Follower::start(node, name).await);
        }
        Self(followers)
    }

    async fn follow(&mut self, node: &mut Node, stored: &HashMap<ChannelName, Vec<String>>) {
        let is_done =
            |follower: &Follower| stored.get(&follower.channel).is_none_or(|texts| follower.texts.len() >= texts.len());
        while !self.0.iter().all(is_done) {
            match node.heard.next().await {
                Event::Delivered(publication) => {
                    let follower = self.0.iter_mut().find(|one| one.channel == publication.channel).unwrap();
                    follower.hear(node, publication).await;
                }
                Event::Missed(channels) => {
                    for follower in &mut self.0 {
                        if channels.as_ref().is_none_or(|channels| channels.contains(&follower.channel)) {
                            follower.missed += 1;
                            follower.catch_up(node).await;
                        }
                    }
                }
            }
        }
        for follower in &self.0 {
            assert_eq!(Some(&follower.texts), stored.get(&follower.channel), "{}", follower.channel);
        }
    }
}

#[tokio::test]
async fn nodes_hear_each_other_on_every_server() {
    let cluster = Cluster::start().await;
    let (mut here, there) = (Node::cluster(&cluster).await, Node::cluster(&cluster).await);
    let channels = cluster.channels(3).await;
    for name in &channels {
        here.broker.subscribe(name).await.unwrap();
    }
    for name in &channels {
        there.publish(name, name.as_str()).await;
        let heard = here.heard.publication().await;
        assert_eq!((&heard.channel, text_of(&heard.record)), (name, name.to_string()));
    }
    // One batch to all of them, stored on all three servers at once.
    let all: Vec<_> = channels.iter().collect();
    let published = there.store(to_each(&all, batch(&channels[0], "all", Priority::Medium))).await.unwrap();
    assert_eq!(published.iter().map(|one| &one.channel).collect::<Vec<_>>(), all);
    assert!(published.iter().all(|one| one.position.seq == 2));
    for server in &cluster.primaries {
        let subscribed: Vec<String> =
            ::redis::from_redis_value(server.run("PUBSUB SHARDCHANNELS test:{user.*").await).unwrap();
        assert_eq!(subscribed.len(), 3);
    }
    for name in &channels {
        here.broker.unsubscribe(name);
    }
    for server in &cluster.primaries {
        until(async || server.run("PUBSUB SHARDCHANNELS test:{user.*").await == ::redis::Value::Array(vec![])).await;
    }
}

#[tokio::test]
async fn many_publishes_at_once_are_stored_where_they_belong() {
    let cluster = Cluster::start().await;
    let node = Node::cluster(&cluster).await;
    let channels = cluster.channels(5).await;
    let publishes = (0..600).map(|n| node.try_publish(batch(&channels[n % channels.len()], "{}", Priority::Low)));
    let published = futures_util::future::join_all(publishes).await;
    for (n, published) in published.into_iter().enumerate() {
        assert_eq!(published.unwrap().channel, channels[n % channels.len()]);
    }
    for name in &channels {
        assert_eq!(node.top(name).await.seq, 40);
    }
}

#[tokio::test]
async fn one_key_is_one_copy_whichever_servers_its_channels_are_on() {
    let cluster = Cluster::start().await;
    let nodes = [Node::cluster(&cluster).await, Node::cluster(&cluster).await];
    let channels = cluster.channels(1).await;
    let all: Vec<_> = channels.iter().collect();
    for key in 0..5 {
        let publishes = (0..10).map(|n| nodes[n % 2].store(to_each(&all, keyed(&channels[0], "one", key))));
        let published = futures_util::future::join_all(publishes).await;
        let published: Vec<_> = published.into_iter().map(Result::unwrap).collect();
        for index in 0..channels.len() {
            assert_eq!(published.iter().filter(|one| !one[index].duplicate).count(), 1);
            assert!(published.iter().all(|one| one[index].position == published[0][index].position));
        }
    }
    for name in &channels {
        assert_eq!(nodes[0].top(name).await.seq, 5);
    }
}

#[tokio::test]
async fn listeners_and_buckets_are_shared_on_every_server() {
    let cluster = Cluster::start().await;
    let [a, b] = [Node::cluster(&cluster).await, Node::cluster(&cluster).await];
    let channels = cluster.channels(2).await;
    let listeners: Vec<_> = channels.iter().enumerate().map(|(n, name)| (name.clone(), n + 1)).collect();
    a.broker.announce(&listeners, Duration::from_secs(45)).await.unwrap();
    for (name, count) in &listeners {
        assert_eq!(b.broker.listeners_elsewhere(name).await.unwrap(), *count);
        assert_eq!(b.broker.info(name).await.unwrap()[0].length, 0);
    }
    let window = Duration::from_secs(60);
    for id in 0..10 {
        let bucket = crate::broker::Bucket { id: [id; 16], interval: window, window };
        let draw = async |node: &Node| node.broker.draw(&bucket, crate::broker::Draw::Take).await.unwrap().unwrap();
        assert_eq!([draw(&a).await.admitted, draw(&b).await.admitted], [true, false]);
    }
}

#[tokio::test]
async fn slots_that_move_under_load_lose_nothing_and_double_nothing() {
    let cluster = Cluster::start().await;
    let (mut here, there) = (Node::cluster(&cluster).await, Node::cluster(&cluster).await);
    let channels = cluster.channels(2).await;
    let mut followers = Followers::start(&here, &channels).await;
    let stop = AtomicBool::new(false);
    let moves = async {
        for (round, name) in channels.iter().chain(&channels).enumerate() {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let to = (cluster.owner(name).await + 1) % cluster.primaries.len();
            // While a slot is moved, publishes to it are refused and tried again.
            cluster.migrate(name, to, Duration::from_millis(if round % 2 == 0 { 0 } else { 200 })).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::SeqCst);
    };
    let (load, ()) = tokio::join!(Load::run(&there, &channels, &stop), moves);
    assert!(load.slowest < Duration::from_secs(3), "{:?}", load.slowest);
    load.is_kept(&there).await;
    followers.follow(&mut here, &load.stored).await;
    assert!(followers.0.iter().all(|follower| follower.missed > 0), "each moved");
    here.is_ready().await;
    // What is live now comes in without a look at history.
    while here.heard.try_next().is_some() {}
    for name in &channels {
        there.publish(name, "live").await;
        assert_eq!(&here.heard.publication().await.channel, name);
    }
}

#[tokio::test]
async fn a_server_without_slots_is_left_and_one_that_gets_some_is_used() {
    let cluster = Cluster::start().await;
    let mut node = Node::cluster(&cluster).await;
    let channels = cluster.channels(1).await;
    for name in &channels {
        node.broker.subscribe(name).await.unwrap();
    }
    let [giver, taker] = [cluster.owner(&channels[0]).await, cluster.owner(&channels[1]).await];
    cluster.migrate(&channels[0], taker, Duration::ZERO).await;
    let slots: Vec<_> = (16_384 * giver / 3..16_384 * (giver + 1) / 3).collect();
    let id = text(cluster.primaries[taker].run("CLUSTER MYID").await);
    for server in [taker, giver, 3 - giver - taker].map(|index| &cluster.primaries[index]) {
        let mut commands = ::redis::pipe();
        for slot in &slots {
            commands.cmd("CLUSTER").arg("SETSLOT").arg(slot).arg("NODE").arg(&id).ignore();
        }
        let client = ::redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        connection.set_response_timeout(PATIENCE);
        // One that has lost its last slot becomes a replica by itself, and takes no more of this.
        let _ = commands.exec_async(&mut connection).await;
    }
    until(async || node.try_publish(batch(&channels[0], "moved", Priority::Medium)).await.is_ok()).await;
    until(async || text(cluster.primaries[giver].run("CLIENT LIST TYPE pubsub").await).is_empty()).await;
    node.is_ready().await;
    while node.heard.try_next().is_some() {}
    for name in &channels {
        node.publish(name, "live").await;
        assert_eq!(&node.heard.publication().await.channel, name);
    }
}

/// Kills or freezes a primary, and returns how many publishes to other servers failed meanwhile.
async fn fail_over(stop_primary: impl FnOnce(&mut Cluster, usize)) {
    let mut cluster = Cluster::with_replicas().await;
    let (mut here, there) = (Node::cluster(&cluster).await, Node::cluster(&cluster).await);
    let channels = cluster.channels(1).await;
    let mut followers = Followers::start(&here, &channels).await;
    let mut texts: HashMap<ChannelName, Vec<String>> = HashMap::new();
    for round in 0..20 {
        for (key, name) in (3 * round..).zip(&channels) {
            persist(&there, keyed(name, &round.to_string(), key)).await;
            texts.entry(name.clone()).or_default().push(round.to_string());
        }
    }
    let victim = cluster.owner(&channels[0]).await;
    // What the old primary has confirmed is at its replica.
    until(async || {
        let length = cluster.replicas[victim].run_readonly(&format!("LLEN test:{{{}}}:n", channels[0])).await;
        length == ::redis::Value::Int(20)
    })
    .await;
    stop_primary(&mut cluster, victim);
    let down = Instant::now();
    let mut round: u128 = 20;
    let mut failed = 0;
    loop {
        for (key, name) in (3 * round..).zip(&channels) {
            let outcome = there.try_publish(keyed(name, &round.to_string(), key)).await;
            match outcome {
                Ok(_) => texts.get_mut(name).unwrap().push(round.to_string()),
                Err(error) => {
                    assert_eq!(name, &channels[0], "only what the lost server had is disturbed: {error}");
                    failed += 1;
                    // It ends as it would have.
                    persist(&there, keyed(name, &round.to_string(), key)).await;
                    texts.get_mut(name).unwrap().push(round.to_string());
                }
            }
        }
        round += 1;
        if failed > 0 && down.elapsed() > Duration::from_secs(1) {
            break;
        }
        assert!(down.elapsed() < Duration::from_secs(12), "publishing does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(down.elapsed() < Duration::from_secs(10), "publishing went on after {:?}", down.elapsed());
    followers.follow(&mut here, &texts).await;
    for node in [&here, &there] {
        node.is_ready().await;
    }
}

#[tokio::test]
async fn a_killed_primary_is_followed_by_its_replica() {
    fail_over(|cluster, victim| cluster.primaries[victim].kill()).await;
}

#[tokio::test]
async fn a_frozen_primary_is_left_although_its_connections_stand() {
    fail_over(|cluster, victim| cluster.primaries[victim].freeze()).await;
}

#[tokio::test]
async fn while_a_server_is_away_readiness_names_it_and_the_others_go_on() {
    let mut cluster = Cluster::start().await;
    let node = Node::cluster(&cluster).await;
    let channels = cluster.channels(1).await;
    let victim = cluster.owner(&channels[0]).await;
    let place = format!("127.0.0.1:{}", cluster.primaries[victim].port());
    cluster.primaries[victim].kill();
    eventually(|| node.broker.readiness().is_err_and(|why| why.contains(&place))).await;
    let begun = Instant::now();
    let refused = node.try_publish(batch(&channels[0], "{}", Priority::Medium)).await;
    assert!(matches!(refused, Err(PublishFailed::NotAccepted(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    for name in &channels[1..] {
        node.publish(name, "{}").await;
    }
    // Half of it is stored, so nobody may say that nothing is.
    let all: Vec<_> = channels.iter().collect();
    let outcome = node.store(to_each(&all, batch(&channels[0], "{}", Priority::Medium))).await;
    assert!(matches!(&outcome, Err(PublishFailed::PartlyStored(why)) if why.contains(&place)), "{outcome:?}");
    cluster.primaries[victim].restart().await;
    node.is_ready().await;
    // It takes no writes in the first seconds.
    until(async || node.try_publish(batch(&channels[0], "{}", Priority::Medium)).await.is_ok()).await;
}

#[tokio::test]
async fn a_seed_that_is_down_does_not_matter_and_one_that_is_up_is_enough() {
    let cluster = Cluster::start().await;
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let url = format!("redis+cluster://127.0.0.1:{nobody},127.0.0.1:{}", cluster.primaries[1].port());
    let node = Node::start(&config(&url));
    assert_eq!(node.broker.check().await, Ok(()));
    node.is_ready().await;
    for name in cluster.channels(1).await {
        node.publish(&name, "{}").await;
    }
    let alone = Node::start(&config(&format!("redis+cluster://127.0.0.1:{nobody}")));
    assert_eq!(alone.broker.check().await, Ok(()), "it may come up");
    eventually(|| alone.broker.readiness().unwrap_err().contains(&format!("127.0.0.1:{nobody}"))).await;
    let refused = alone.try_publish(batch(&channel("user.1"), "{}", Priority::Medium)).await;
    assert!(matches!(refused, Err(PublishFailed::NotAccepted(_))), "{refused:?}");
    assert!(alone.broker.subscribe(&channel("user.1")).await.is_err());
}

#[tokio::test]
async fn a_url_of_the_other_kind_is_refused() {
    let cluster = Cluster::start().await;
    let node = Node::start(&config(&cluster.primaries[0].url()));
    assert_eq!(node.broker.check().await, Err(Unfit::Cluster));
    assert!(Unfit::Cluster.to_string().contains("redis+cluster://"));
    let server = Server::start(&[]).await;
    let node = Node::start(&config(&server.url().replace("redis://", "redis+cluster://")));
    assert_eq!(node.broker.check().await, Err(Unfit::NoCluster));
    eventually(|| node.broker.readiness().unwrap_err().contains("not a server of a cluster")).await;
}

#[tokio::test]
async fn the_rights_of_the_guide_are_enough_and_each_is_named() {
    const RIGHTS: &str = "~test:* &test:* -@all +info +time +wait +eval +evalsha +eval_ro +evalsha_ro +get +set +del \
        +exists +pexpire +rpush +lindex +llen +lrange +ltrim +hgetall +hset +hdel +spublish +ssubscribe +sunsubscribe \
        +asking +cluster|info +cluster|slots";
    let cluster = Cluster::start().await;
    let as_user = async |user: &str, lack: &str| {
        for server in &cluster.primaries {
            server.run(format!("ACL SETUSER {user} reset on >secret {RIGHTS} {lack}").trim_end()).await;
        }
        Node::start(&config(&cluster.url().replace("://", &format!("://{user}:secret@"))))
    };
    let mut node = as_user("app", "").await;
    assert_eq!(node.broker.check().await, Ok(()));
    node.is_ready().await;
    for name in cluster.channels(1).await {
        node.broker.subscribe(&name).await.unwrap();
        node.try_publish(keyed(&name, "one", 1 + u128::from(name.as_str().len() as u64))).await.ok();
        node.publish(&name, "two").await;
        node.heard.publication().await;
        node.broker.unsubscribe(&name);
    }
    for (user, lack, named) in [
        ("a", "-spublish", "SPUBLISH"),
        ("b", "-ssubscribe -sunsubscribe", "SSUBSCRIBE"),
        ("c", "-asking", "ASKING"),
        ("d", "-cluster|slots", "CLUSTER SLOTS"),
    ] {
        let unfit = as_user(user, lack).await.broker.check().await.unwrap_err().to_string();
        assert!(unfit.contains(named), "{user}: {unfit}");
    }
}

#[tokio::test]
async fn what_is_accepted_is_at_the_replica_of_its_server() {
    let cluster = Cluster::with_replicas().await;
    let durability = Durability::Replica(1.try_into().unwrap());
    let node = Node::start(&config::Broker { durability, ..config(&cluster.url()) });
    node.is_ready().await;
    for name in cluster.channels(2).await {
        let replica = &cluster.replicas[cluster.owner(&name).await];
        for round in 1..=5 {
            node.publish(&name, "{}").await;
            let length = replica.run_readonly(&format!("LLEN test:{{{name}}}:n")).await;
            assert_eq!(length, ::redis::Value::Int(round));
        }
    }
}
