//! What the Redis broker survives, on a real server.

use tokio::time::Instant;

use super::proxy::Proxy;
use super::*;

#[tokio::test]
async fn nodes_on_one_server_hear_each_other() {
    let server = Server::start(&[]).await;
    let (mut here, there) = (Node::redis(&server).await, Node::redis(&server).await);
    let user = channel("user.1");
    here.broker.subscribe(&user).await.unwrap();
    let published = there.publish(&user, "from there").await;
    let heard = here.heard.publication().await;
    assert_eq!((text_of(&heard.record), heard.record.seq), ("from there".to_owned(), published.position.seq));
}

#[tokio::test]
async fn a_flush_is_an_unknown_epoch_and_numbers_begin_again() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    node.publish(&user, "one").await;
    let before = node.publish(&user, "two").await.position;
    server.run("FLUSHALL").await;
    assert_eq!(node.read(&user, before).await.gap, gap(GapReason::UnknownEpoch, None));
    let after = node.publish(&user, "three").await.position;
    assert_eq!(after.seq, 1);
    assert_ne!(after.epoch, before.epoch);
    let page = node.read(&user, before).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (gap(GapReason::UnknownEpoch, None), vec![1]));
}

#[tokio::test]
async fn evicted_keys_are_told() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let first = node.publish(&user, "one").await.position;
    node.publish(&user, "two").await;
    server.run("DEL test:{user.1}:n").await;
    assert_eq!(node.read(&user, first).await.gap, gap(GapReason::Trimmed, Some((2, 2))));
    node.publish(&user, "three").await;
    server.run("DEL test:{user.1}:m").await;
    let again = node.publish(&user, "four").await.position;
    assert_eq!(again.seq, 1);
    assert_eq!(node.read(&user, first).await.gap, gap(GapReason::UnknownEpoch, None));
}

#[tokio::test]
async fn a_channel_that_is_spoilt_does_not_hide_the_tops_of_others() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let channels = ["user.1", "user.2", "user.3"].map(channel);
    for channel in &channels {
        node.publish(channel, "one").await;
    }
    server.run("SET test:{user.1}:m !!garbage!!").await;
    server.run("DEL test:{user.2}:m").await;
    server.run("RPUSH test:{user.2}:m spoilt").await;
    let tops = node.broker.tops(&channels).await;
    assert!(tops[0].is_err() && tops[1].is_err(), "{tops:?}");
    assert_eq!(tops[2].as_ref().unwrap().unwrap().map(|top| top.seq), [0, 1]);
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    for seq in 1..=3 {
        server.run("SCRIPT FLUSH").await;
        let position = node.publish(&user, "{}").await.position;
        assert_eq!(position.seq, seq);
        server.run("SCRIPT FLUSH").await;
        assert_eq!(node.read(&user, Position::new(position.epoch, 0)).await.records.len() as u64, seq);
    }
}

#[tokio::test]
async fn reading_goes_on_while_writes_are_paused() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let first = node.publish(&user, "one").await.position;
    server.run("CLIENT PAUSE 3000 WRITE").await;
    let page = node.read(&user, Position::new(first.epoch, 0)).await;
    assert_eq!(seqs(&page), [1]);
}

#[tokio::test]
async fn killed_connections_lose_nothing() {
    let server = Server::start(&[]).await;
    let (mut here, there) = (Node::redis(&server).await, Node::redis(&server).await);
    let user = channel("user.1");
    let mut follower = Follower::start(&here, &user).await;
    let texts: Vec<_> = (0..2_000).map(|n| n.to_string()).collect();
    let publish = async {
        for (n, text) in texts.iter().enumerate() {
            there.persist(keyed(&user, text, n as u128)).await;
        }
    };
    let kill = async {
        for n in 0.. {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.run(["CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal"][n % 2]).await;
        }
    };
    let load = async {
        tokio::select! {
            () = publish => {}
            () = kill => {}
        }
    };
    tokio::join!(load, follower.follow(&mut here, texts.len()));
    assert_eq!(follower.texts, texts);
    assert!(follower.missed > 3, "connections were lost {} times", follower.missed);
    let before = Position::new(follower.at.epoch, 0);
    assert_eq!(seqs(&here.read(&user, before).await), range(1..=2_000));
}

#[tokio::test]
async fn while_redis_is_down_publishes_are_refused_at_once() {
    let mut server = Server::start(&[]).await;
    let mut node = Node::redis(&server).await;
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    server.kill();
    eventually(|| node.broker.readiness().is_err()).await;
    let begun = Instant::now();
    let refused = node.try_publish(batch(&user, "{}", Priority::Medium)).await;
    assert!(matches!(refused, Err(PublishFailed::NotAccepted(_))), "{refused:?}");
    assert!(node.broker.subscribe(&channel("user.2")).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(1)).await;

    server.restart().await;
    node.is_ready().await;
    node.publish(&user, "back").await;
    assert_eq!(text_of(&node.heard.publication().await.record), "back", "it is still subscribed");
}

#[tokio::test]
async fn a_crash_with_an_append_only_file_loses_no_position() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let first = node.publish(&user, "one").await.position;
    let up_to_date = node.publish(&user, "two").await.position;
    server.kill();
    server.restart().await;
    node.is_ready().await;
    assert_eq!(node.read(&user, up_to_date).await.gap, None);
    let after = node.publish(&user, "three").await.position;
    assert_eq!(after.seq, 3);
    assert_ne!(after.epoch, up_to_date.epoch, "another server could have numbered another 3");
    for (position, missing) in [(up_to_date, range(3..=3)), (first, range(2..=3))] {
        let page = node.read(&user, position).await;
        assert_eq!((page.gap.clone(), seqs(&page), page.top), (None, missing, after));
    }
}

#[tokio::test]
async fn a_failover_that_undid_records_tells_who_saw_them() {
    let mut primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await;
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port()]).await;
    let node = Node::redis(&primary).await;
    let user = channel("user.1");
    let mut seen = Vec::new();
    for text in ["one", "two", "three"] {
        seen.push(node.publish(&user, text).await.position);
    }
    while primary.run("WAIT 1 100").await != ::redis::Value::Int(1)
        || replica.run("LLEN test:{user.1}:n").await != ::redis::Value::Int(3)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    replica.run("REPLICAOF 127.0.0.1 1").await;
    for text in ["four", "five", "six"] {
        seen.push(node.publish(&user, text).await.position);
    }
    primary.kill();
    replica.run("REPLICAOF NO ONE").await;

    let node = Node::redis(&replica).await;
    let undone = gap(GapReason::Diverged, Some((4, 6)));
    let page = node.read(&user, seen[5]).await;
    assert_eq!((page.gap.clone(), page.end()), (undone.clone(), seen[2]));
    let other = node.publish(&user, "another four").await.position;
    assert_eq!(other.seq, 4);
    assert_ne!(other.epoch, seen[3].epoch);
    let page = node.read(&user, seen[5]).await;
    assert_eq!((page.gap.clone(), seqs(&page), page.top), (undone, vec![4], other));
    let page = node.read(&user, seen[2]).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, vec![4]), "who saw only what survived misses nothing");
}

#[tokio::test]
async fn the_chain_of_epochs_reaches_back_over_several_restarts_and_has_an_end() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let user = channel("user.1");
    let mut seen = Vec::new();
    for _ in 0..10 {
        let node = Node::redis(&server).await;
        seen.push(node.publish(&user, "{}").await.position);
        server.kill();
        server.restart().await;
    }
    let node = Node::redis(&server).await;
    for (position, known) in seen.iter().zip([false].into_iter().chain([true; 9])) {
        let page = node.read(&user, *position).await;
        assert_eq!(page.gap.is_none(), known, "{position}");
        assert_eq!(page.records.len() as u64, if known { 10 - position.seq } else { 10 });
    }
}

#[tokio::test]
async fn refusals_are_named_and_nothing_is_stored() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    node.publish(&user, "{}").await;
    let faults =
        [("maxmemory 1", "maxmemory 0", "OOM"), ("min-replicas-to-write 1", "min-replicas-to-write 0", "NOREPLICAS")];
    for (inject, heal, code) in faults {
        server.run(&format!("CONFIG SET {inject}")).await;
        for name in [&user, &channel("user.new")] {
            let refused = node.try_publish(batch(name, "{}", Priority::Medium)).await;
            assert_eq!(refused, Err(PublishFailed::NotAccepted(code.to_owned())));
        }
        server.run(&format!("CONFIG SET {heal}")).await;
    }
    server.run("REPLICAOF 127.0.0.1 1").await;
    let refused = node.try_publish(batch(&user, "{}", Priority::Medium)).await;
    assert_eq!(refused, Err(PublishFailed::NotAccepted("READONLY".to_owned())));
    server.run("REPLICAOF NO ONE").await;
    assert_eq!(node.persist(keyed(&user, "{}", 7)).await.position.seq, 2);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_not_ready_before_anybody_publishes() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let faults = [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "is a replica"),
    ];
    for (inject, heal, why) in faults {
        server.run(inject).await;
        eventually(|| node.broker.readiness().is_err_and(|told| told.contains(why))).await;
        server.run(heal).await;
        node.is_ready().await;
    }
}

#[tokio::test]
async fn a_replica_is_used_when_it_has_become_the_primary() {
    let server = Server::start(&["--replicaof", "127.0.0.1", "1"]).await;
    let node = Node::start(&config(&server.url()));
    assert_eq!(node.broker.check().await, Ok(()), "it may be promoted");
    eventually(|| node.broker.readiness().is_err_and(|told| told.contains("is a replica"))).await;
    let refused = node.try_publish(batch(&channel("user.1"), "{}", Priority::Medium)).await;
    assert!(matches!(&refused, Err(PublishFailed::NotAccepted(why)) if why.contains("is a replica")), "{refused:?}");
    server.run("REPLICAOF NO ONE").await;
    node.is_ready().await;
}

#[tokio::test]
async fn foreign_bytes_harm_only_their_channel() {
    let server = Server::start(&[]).await;
    let mut node = Node::redis(&server).await;
    let [user, other] = ["user.1", "user.2"].map(channel);
    for name in [&user, &other] {
        node.broker.subscribe(name).await.unwrap();
    }
    let start = node.top(&user).await;
    node.publish(&user, "one").await;
    server.store_foreign("user.1", 2, b"\x02later").await;
    server.run("PUBLISH test:{user.1} garbage").await;
    server.run("PUBLISH test:{user.9} garbage").await;
    node.publish(&user, "three").await;
    node.publish(&other, "{}").await;

    let told = [node.heard.next().await, node.heard.next().await, node.heard.next().await, node.heard.next().await];
    assert!(matches!(&told[0], Event::Missed(None)), "as the connection came up");
    assert!(matches!(&told[1], Event::Delivered(one) if one.record.seq == 1));
    assert!(matches!(&told[2], Event::Missed(Some(channels)) if *channels == [user.clone()]));
    assert!(matches!(&told[3], Event::Delivered(three) if three.record.seq == 3));
    assert_eq!(node.heard.publication().await.channel, other);

    let page = node.read(&user, start).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, vec![1]), "up to what cannot be read");
    let page = node.read(&user, page.end()).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (gap(GapReason::Unreadable, Some((2, 2))), vec![3]));

    server.run("DEL test:{user.1}:m").await;
    server.run("SET test:{user.1}:m foreign").await;
    assert!(node.broker.read(&user, Lane::Normal, start, 10).await.is_err());
    assert!(node.broker.subscribe(&user).await.is_err());
    node.publish(&other, "{}").await;
}

#[tokio::test]
async fn a_channel_that_a_later_release_writes_to_is_left_alone() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let start = node.publish(&user, "one").await.position;
    for (meta, code) in [("12|another|layout", "NEWER"), ("foreign", "MALFORMED")] {
        server.run(&format!("SET test:{{user.1}}:m {meta}")).await;
        let refused = node.try_publish(batch(&user, "two", Priority::Medium)).await;
        assert_eq!(refused, Err(PublishFailed::NotAccepted(code.to_owned())));
        assert!(node.broker.read(&user, Lane::Normal, start, 10).await.is_err());
        assert!(node.broker.info(&user).await.is_err());
        assert_eq!(server.run("LLEN test:{user.1}:n").await, ::redis::Value::Int(1));
    }
}

#[tokio::test]
async fn a_record_in_the_place_of_another_is_told_and_not_taken_for_it() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let start = node.top(&user).await;
    node.publish(&user, "one").await;
    // Not counted in the meta key, so whatever stands before it is one place off.
    server.run("RPUSH test:{user.1}:n foreign").await;
    let page = node.read(&user, start).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (gap(GapReason::Unreadable, Some((1, 1))), vec![]));
    let mut next = batch(&user, "two", Priority::Medium);
    next.messages[0].retention.size = 1;
    node.try_publish(next).await.unwrap();
    let page = node.read(&user, page.end()).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, vec![2]), "what is trimmed harms no longer");
}

#[tokio::test]
async fn a_channel_of_one_user_takes_little_memory() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.c7");
    let memory = async || {
        let mut sum = 0;
        for key in ["m", "x", "n"] {
            let usage = server.run(&format!("MEMORY USAGE test:{{user.c7}}:{key} SAMPLES 0")).await;
            sum += ::redis::from_redis_value::<Option<u64>>(usage).unwrap().unwrap_or_default();
        }
        sum
    };
    let payload = "x".repeat(300);
    node.publish(&user, &payload).await;
    let one = memory().await;
    for _ in 1..100 {
        node.publish(&user, &payload).await;
    }
    let hundred = memory().await;
    assert!(one <= 1_228, "{one}");
    assert!(hundred <= 39_000, "{hundred}");
}

#[tokio::test]
async fn more_publishes_than_allowed_are_refused() {
    let server = Server::start(&[]).await;
    let config = config::Broker { max_in_flight: 2, ..config(&server.url()) };
    let node = Node::start(&config);
    node.is_ready().await;
    let user = channel("user.1");
    let publishes = (0..10).map(|_| node.try_publish(batch(&user, "{}", Priority::Medium)));
    let outcomes = futures_util::future::join_all(publishes).await;
    let refused = Err(PublishFailed::NotAccepted("too many publishes in flight".to_owned()));
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == refused).count(), 8);
}

#[tokio::test]
async fn the_url_names_user_password_and_database() {
    let server = Server::start(&[]).await;
    server.run("ACL SETUSER app on >hunter2 ~test:* &test:* +@all").await;
    let url = |password| format!("redis://app:{password}@127.0.0.1:{}/2", server.port());
    let user = channel("user.1");
    let mut node = Node::start(&config(&url("hunter2")));
    node.is_ready().await;
    node.broker.subscribe(&user).await.unwrap();
    let published = node.publish(&user, "{}").await;
    assert_eq!(node.heard.publication().await.record.seq, published.position.seq);
    assert_eq!(server.run("EXISTS test:{user.1}:n").await, ::redis::Value::Int(0), "not in database 0");

    let denied = Node::start(&config(&url("wrong-secret")));
    eventually(|| denied.broker.readiness().is_err_and(|why| why.contains("WRONGPASS"))).await;
    assert!(!format!("{:?} {:?}", denied.broker, denied.broker.readiness()).contains("wrong-secret"));
}

#[tokio::test]
async fn what_was_left_while_its_connection_broke_is_not_subscribed_to_again() {
    let mut server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let [left, kept] = ["user.1", "user.2"].map(channel);
    for name in [&left, &kept] {
        node.broker.subscribe(name).await.unwrap();
    }
    // Both requests are taken at once, and the connection ends before the first is confirmed.
    server.run("CLIENT PAUSE 60000 ALL").await;
    let another = channel("user.3");
    let (refused, ()) = tokio::join!(node.broker.subscribe(&another), async { node.broker.unsubscribe(&left) });
    assert!(refused.is_err());
    server.kill();
    server.restart().await;
    node.is_ready().await;
    let subscribed: Vec<String> = ::redis::from_redis_value(server.run("PUBSUB CHANNELS test:{*").await).unwrap();
    assert_eq!(subscribed, ["test:{user.2}"]);
}

#[tokio::test]
async fn a_deaf_subscription_is_found_and_replaced() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(&server).await;
    let mut node = Node::start(&config(&proxy.url()));
    node.is_ready().await;
    let user = channel("user.1");
    let mut follower = Follower::start(&node, &user).await;
    proxy.mute_subscribers();
    node.publish(&user, "one").await;
    let deaf = Instant::now();
    eventually(|| node.broker.readiness().is_err()).await;
    assert!(deaf.elapsed() < Duration::from_secs(10), "{:?}", deaf.elapsed());
    follower.follow(&mut node, 1).await;
    node.is_ready().await;
    node.publish(&user, "two").await;
    follower.follow(&mut node, 2).await;
    assert_eq!(follower.texts, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_keep_up_reads_what_it_did_not_take() {
    let server = Server::start(&[]).await;
    let (mut slow, there) = (Node::redis(&server).await, Node::redis(&server).await);
    let user = channel("user.1");
    let mut follower = Follower::start(&slow, &user).await;
    there.publish(&user, "first").await;
    follower.follow(&mut slow, 1).await;
    let missed_before = follower.missed;
    slow.stuck.store(true, Ordering::SeqCst);
    // Few at a time, so that a busy machine answers each within its deadline.
    for _ in 0..200 {
        let publishes = (0..100).map(|n| {
            let mut batch = batch(&user, &n.to_string(), Priority::Medium);
            batch.messages[0].retention.size = 100_000;
            there.try_publish(batch)
        });
        for outcome in futures_util::future::join_all(publishes).await {
            outcome.unwrap();
        }
    }
    slow.stuck.store(false, Ordering::SeqCst);
    follower.follow(&mut slow, 20_001).await;
    assert!(follower.missed > missed_before, "its queue overflowed");
}
