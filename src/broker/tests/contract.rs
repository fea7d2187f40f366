//! What holds for every broker.

use super::*;

/// Runs each of the functions below over every broker.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Node::memory()).await;
            })+
        }
        mod in_redis {
            $(#[tokio::test]
            async fn $name() {
                let server = super::Server::start(&[]).await;
                super::$name(super::Node::redis(&server).await).await;
            })+
        }
        mod in_a_cluster {
            $(#[tokio::test]
            async fn $name() {
                let cluster = super::nodes::Cluster::start().await;
                super::$name(super::Node::cluster(&cluster).await).await;
            })+
        }
    };
}

contract! {
    numbers_are_contiguous_in_each_lane,
    a_reader_resumes_exactly_where_it_was,
    a_page_has_no_more_than_its_limit,
    what_size_trimmed_is_told_exactly,
    what_age_trimmed_is_told_and_numbers_go_on,
    age_counts_from_each_publish,
    what_is_too_old_is_trimmed_by_publishing,
    an_unknown_epoch_is_told_and_all_that_is_kept_follows,
    a_new_channel_has_a_position_before_its_first_record,
    looking_at_a_channel_leaves_nothing_behind,
    a_batch_reaches_each_of_its_channels,
    a_repeated_publish_names_the_first,
    a_key_with_another_body_is_refused,
    a_refused_body_is_stored_in_no_channel,
    a_repeat_goes_where_the_first_went,
    of_many_with_one_key_one_is_stored,
    what_is_subscribed_is_delivered_in_order,
    what_is_not_subscribed_is_not_delivered,
}

async fn numbers_are_contiguous_in_each_lane(node: Node) {
    let user = channel("user.1");
    let mut lanes = [Vec::new(), Vec::new()];
    for n in 0..10 {
        let priority = if n % 3 == 0 { Priority::Critical } else { Priority::Low };
        let published = node.try_publish(batch(&user, "{}", priority)).await.unwrap();
        assert_eq!(published.lane, Lane::of(priority));
        lanes[published.lane.index()].push(published.position);
    }
    let [express, normal] = &lanes;
    assert_eq!(express.iter().map(|position| position.seq).collect::<Vec<_>>(), range(1..=4));
    assert_eq!(normal.iter().map(|position| position.seq).collect::<Vec<_>>(), range(1..=6));
    assert!(express.iter().chain(normal).all(|position| position.epoch == express[0].epoch));
    let infos = node.broker.info(&user).await.unwrap();
    assert_eq!(infos.map(|info| (info.top, info.length)), [(Some(express[3]), 4), (Some(normal[5]), 6)]);
}

async fn a_reader_resumes_exactly_where_it_was(node: Node) {
    let user = channel("user.1");
    let first = node.publish(&user, "one").await.position;
    for text in ["two", "three"] {
        node.publish(&user, text).await;
    }
    let page = node.read(&user, first).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, vec![2, 3]));
    assert_eq!(page.records.iter().map(text_of).collect::<Vec<_>>(), ["two", "three"]);
    let page = node.read(&user, page.end()).await;
    assert_eq!((page.gap, page.records.len()), (None, 0));
}

async fn a_page_has_no_more_than_its_limit(node: Node) {
    let user = channel("user.1");
    let mut at = node.top(&user).await;
    for _ in 0..7 {
        node.publish(&user, "{}").await;
    }
    for expected in [range(1..=3), range(4..=6), range(7..=7), Vec::new()] {
        let page = node.broker.read(&user, Lane::Normal, at, 3).await.unwrap();
        assert_eq!((page.gap.clone(), seqs(&page)), (None, expected));
        at = page.end();
    }
}

async fn what_size_trimmed_is_told_exactly(node: Node) {
    let user = channel("user.1");
    let start = node.top(&user).await;
    for n in 0..350 {
        let mut batch = batch(&user, &n.to_string(), Priority::Medium);
        batch.messages[0].retention.size = 10;
        node.try_publish(batch).await.unwrap();
    }
    let page = node.read(&user, Position::new(start.epoch, 5)).await;
    let first = page.records[0].seq;
    assert_eq!(first, 341);
    assert_eq!(page.gap, gap(GapReason::Trimmed, Some((6, first - 1))));
    assert_eq!(seqs(&page), range(first..=350));
    let page = node.read(&user, Position::new(start.epoch, first - 1)).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, range(first..=350)));
}

async fn what_age_trimmed_is_told_and_numbers_go_on(node: Node) {
    let user = channel("user.1");
    let short = || node.try_publish(short_lived(&user, Duration::from_millis(50)));
    let first = short().await.unwrap().position;
    let second = short().await.unwrap().position;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let page = node.read(&user, first).await;
    assert_eq!((page.gap.clone(), page.records.len(), page.end()), (gap(GapReason::Trimmed, Some((2, 2))), 0, second));
    let third = short().await.unwrap().position;
    assert_eq!(third, Position::new(first.epoch, 3));
}

fn short_lived(channel: &ChannelName, ttl: Duration) -> Batch {
    let mut batch = batch(channel, "{}", Priority::Medium);
    batch.messages[0].retention.ttl = ttl;
    batch
}

async fn age_counts_from_each_publish(node: Node) {
    let user = channel("user.1");
    let start = node.top(&user).await;
    let publish = || node.try_publish(short_lived(&user, Duration::from_secs(2)));
    publish().await.unwrap();
    assert_eq!(node.read(&user, start).await.gap, None);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    publish().await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    let page = node.read(&user, start).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (gap(GapReason::Trimmed, Some((1, 1))), vec![2]));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let page = node.read(&user, start).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (gap(GapReason::Trimmed, Some((1, 2))), vec![]));
}

async fn what_is_too_old_is_trimmed_by_publishing(node: Node) {
    let user = channel("user.1");
    let start = node.top(&user).await;
    let publish = async |count| {
        for _ in 0..count {
            node.try_publish(short_lived(&user, Duration::from_secs(2))).await.unwrap();
        }
    };
    publish(300).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    publish(10).await;
    // From every place among those that are too old, in pages of any size.
    for (after, limit) in [(0, 3), (1, 10), (150, 64), (298, 1), (299, 100)] {
        let page = node.broker.read(&user, Lane::Normal, Position::new(start.epoch, after), limit).await.unwrap();
        assert_eq!(page.gap, gap(GapReason::Trimmed, Some((after + 1, 300))), "{after}");
        assert_eq!(seqs(&page), range(301..=310.min(300 + limit as u64)), "{after}");
    }
    let page = node.read(&user, Position::new(start.epoch, 300)).await;
    assert_eq!((page.gap.clone(), seqs(&page)), (None, range(301..=310)));
    publish(30).await;
    assert_eq!(node.broker.info(&user).await.unwrap()[Lane::Normal.index()].length, 40);
}

async fn an_unknown_epoch_is_told_and_all_that_is_kept_follows(node: Node) {
    let user = channel("user.1");
    node.publish(&user, "one").await;
    let published = node.publish(&user, "two").await;
    let page = node.read(&user, Position::new(Epoch::from_bits(1), 1)).await;
    assert_eq!(page.gap, gap(GapReason::UnknownEpoch, None));
    assert_eq!((seqs(&page), page.top), (vec![1, 2], published.position));
}

async fn a_new_channel_has_a_position_before_its_first_record(node: Node) {
    let user = channel("user.1");
    let [express, normal] = node.broker.subscribe(&user).await.unwrap();
    assert_eq!((express.seq, normal.seq, express.epoch), (0, 0, normal.epoch));
    let published = node.publish(&user, "{}").await.position;
    assert_eq!(published, Position::new(normal.epoch, 1));
    assert_eq!(seqs(&node.read(&user, normal).await), [1]);

    let unused = channel("user.2");
    let page = node.read(&unused, published).await;
    assert_eq!((page.gap.clone(), page.records.len()), (gap(GapReason::UnknownEpoch, None), 0));
    assert_eq!(page.end(), node.top(&unused).await);
}

async fn looking_at_a_channel_leaves_nothing_behind(node: Node) {
    let user = channel("user.1");
    let look = async || node.broker.info(&user).await.unwrap().map(|info| (info.top, info.length));
    assert_eq!(look().await, [(None, 0); 2]);
    assert_eq!(look().await, [(None, 0); 2]);
    let tops = node.broker.subscribe(&user).await.unwrap();
    assert_eq!(look().await, tops.map(|top| (Some(top), 0)));
    let unused = channel("user.2");
    for _ in 0..2 {
        let both = [unused.clone(), user.clone()];
        assert_eq!(node.broker.tops(&both).await, [Ok(None), Ok(Some(tops))]);
    }
}

async fn a_batch_reaches_each_of_its_channels(node: Node) {
    let names = ["user.1", "team.a", "ops.all"].map(channel);
    let batch = to_each(&names.each_ref(), batch(&names[0], "{}", Priority::High));
    let published = node.store(batch).await.unwrap();
    assert_eq!(
        published.iter().map(|published| &published.channel).collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    assert!(published.iter().all(|published| published.position.seq == 1 && published.lane == Lane::Express));
}

async fn a_repeated_publish_names_the_first(mut node: Node) {
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    let first = keyed(&user, "one", 7);
    let stored = node.try_publish(first.clone()).await.unwrap();
    assert_eq!((stored.id, stored.duplicate), (first.id, false));
    let again = Batch { id: Uuid::now_v7(), ..first.clone() };
    let repeated = node.try_publish(again).await.unwrap();
    assert_eq!(repeated, Published { duplicate: true, ..stored });
    node.publish(&user, "two").await;
    let heard = [node.heard.publication().await, node.heard.publication().await];
    assert_eq!(heard.map(|publication| text_of(&publication.record)), ["one", "two"]);
}

async fn a_key_with_another_body_is_refused(node: Node) {
    let user = channel("user.1");
    node.try_publish(keyed(&user, "one", 7)).await.unwrap();
    assert_eq!(node.try_publish(keyed(&user, "two", 7)).await, Err(PublishFailed::KeyReused));
    assert_eq!(node.try_publish(keyed(&user, "two", 8)).await.unwrap().position.seq, 2);
}

async fn a_refused_body_is_stored_in_no_channel(node: Node) {
    let [user, team, ops] = ["user.1", "team.a", "ops.all"].map(channel);
    let first = node.store(to_each(&[&user, &team], keyed(&user, "one", 7))).await.unwrap();
    for channels in [&[&ops][..], &[&team, &ops], &[&ops, &user, &team]] {
        let other = to_each(channels, keyed(&user, "two", 7));
        assert_eq!(node.store(other).await, Err(PublishFailed::KeyReused));
    }
    let again = node.store(to_each(&[&user, &team], keyed(&user, "one", 7))).await.unwrap();
    assert_eq!(again.iter().map(|one| one.position).collect::<Vec<_>>(), [first[0].position, first[1].position]);
    assert_eq!([node.top(&user).await.seq, node.top(&team).await.seq, node.top(&ops).await.seq], [1, 1, 0]);
}

async fn a_repeat_goes_where_the_first_went(node: Node) {
    let [user, team, ops] = ["user.1", "team.a", "ops.all"].map(channel);
    let first = node.store(to_each(&[&user, &team], keyed(&user, "one", 7))).await.unwrap();
    let again = node.store(to_each(&[&team, &ops], keyed(&user, "one", 7))).await.unwrap();
    let repeated = first.into_iter().map(|one| Published { duplicate: true, ..one }).collect::<Vec<_>>();
    assert_eq!(again, repeated);
    assert_eq!(node.top(&ops).await.seq, 0);
}

async fn of_many_with_one_key_one_is_stored(node: Node) {
    let user = channel("user.1");
    let publishes = (0..100).map(|_| node.try_publish(keyed(&user, "one", 7)));
    let published = futures_util::future::join_all(publishes).await;
    let published: Vec<_> = published.into_iter().map(Result::unwrap).collect();
    let first: Vec<_> = published.iter().filter(|published| !published.duplicate).collect();
    assert_eq!(first.len(), 1);
    assert!(published.iter().all(|published| published.position == first[0].position));
    assert_eq!(node.top(&user).await, first[0].position);
}

async fn what_is_subscribed_is_delivered_in_order(mut node: Node) {
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    let publishes = (0..200).map(|n| node.try_publish(batch(&user, &n.to_string(), Priority::ALL[n % 4])));
    let published = futures_util::future::join_all(publishes).await;
    let epoch = published[0].as_ref().unwrap().position.epoch;
    let mut next = [1, 1];
    for _ in 0..200 {
        let publication = node.heard.publication().await;
        assert_eq!((&publication.channel, publication.epoch), (&user, epoch));
        assert_eq!(publication.lane, Lane::of(publication.record.message.priority));
        assert_eq!(publication.record.seq, next[publication.lane.index()]);
        next[publication.lane.index()] += 1;
    }
}

async fn what_is_not_subscribed_is_not_delivered(mut node: Node) {
    let [left, kept, never] = ["user.1", "user.2", "user.3"].map(channel);
    node.broker.subscribe(&left).await.unwrap();
    node.broker.unsubscribe(&left);
    node.broker.subscribe(&kept).await.unwrap();
    for name in [&left, &never, &kept] {
        node.publish(name, "{}").await;
    }
    assert_eq!(node.heard.publication().await.channel, kept);
    assert!(node.heard.is_silent());
}
