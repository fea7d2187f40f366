//! Idempotency keys in Redis, over several channels and nodes.

use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn of_many_with_one_key_on_two_nodes_one_is_stored_in_each_of_its_channels() {
    let server = Server::start(&[]).await;
    let nodes = [Node::redis(&server).await, Node::redis(&server).await];
    let [user, team, ops] = ["user.1", "team.a", "ops.all"].map(channel);
    // Every third has another body, which goes to other channels.
    let publishes = (0..100).map(|n| {
        let batch = match n % 3 {
            0 => to_each(&[&team, &ops], keyed(&user, "two", 7)),
            _ => to_each(&[&user, &team], keyed(&user, "one", 7)),
        };
        nodes[n % 2].store(batch)
    });
    let outcomes = futures_util::future::join_all(publishes).await;
    let accepted: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || *outcome == Err(PublishFailed::KeyReused)));
    for (index, published) in accepted[0].iter().enumerate() {
        assert!(accepted.iter().all(|other| other[index].position == published.position));
        assert!(accepted.iter().all(|other| other[index].id == published.id));
        let stored = accepted.iter().filter(|other| !other[index].duplicate).count();
        assert_eq!((stored, nodes[0].top(&published.channel).await.seq), (1, 1), "{}", published.channel);
    }
    let tops = [nodes[0].top(&user).await.seq, nodes[0].top(&ops).await.seq];
    assert_eq!(tops.iter().sum::<u64>(), 1, "one body was stored, in its channels only: {tops:?}");
}

#[tokio::test]
async fn a_key_that_is_forgotten_is_forgotten_in_every_channel() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let [user, team] = ["user.1", "team.a"].map(channel);
    let key = |text| to_each(&[&user, &team], keyed(&user, text, 7));
    node.store(to_each(&[&user], key("one"))).await.unwrap();
    let claim = format!("test:k:{{{:032x}}}", 7);
    server.run(&format!("PEXPIRE {claim} 0")).await;
    let other = node.store(key("two")).await.unwrap();
    assert_eq!(other.iter().map(|one| (one.position.seq, one.duplicate)).collect::<Vec<_>>(), [(2, false), (1, false)]);
    assert_eq!(node.store(key("one")).await, Err(PublishFailed::KeyReused));
}

/// A flush between the claim and the script leaves what the script stores without a claim.
#[tokio::test]
async fn what_is_stored_without_its_claim_is_not_stored_again_by_a_repeat() {
    let server = Server::start(&[]).await;
    let nodes = [Node::redis(&server).await, Node::redis(&server).await];
    let [user, team] = ["user.1", "team.a"].map(channel);
    let first = nodes[0].store(to_each(&[&user], keyed(&user, "one", 7))).await.unwrap().remove(0);
    server.run(&format!("DEL test:k:{{{:032x}}}", 7)).await;
    // The channel that has it keeps it under the first id, and the other gets it under that of the new claim.
    let repeat = to_each(&[&user, &team], keyed(&user, "one", 7));
    let twice = [nodes[1].store(repeat.clone()).await.unwrap(), nodes[0].store(keyed(&user, "one", 7)).await.unwrap()];
    for (published, repeated) in twice.iter().zip([false, true]) {
        assert_eq!(published[0], Published { duplicate: true, ..first.clone() });
        assert_eq!((published[1].id, published[1].position.seq, published[1].duplicate), (repeat.id, 1, repeated));
    }
    assert_eq!([nodes[0].top(&user).await.seq, nodes[0].top(&team).await.seq], [1, 1]);
}

#[tokio::test]
async fn a_key_whose_time_is_over_publishes_the_same_body_anew() {
    let server = Server::start(&[]).await;
    let node = Node::start(&config::Broker { idempotency_ttl: Duration::from_secs(1), ..config(&server.url()) });
    node.is_ready().await;
    let user = channel("user.1");
    let first = node.persist(keyed(&user, "one", 7)).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let anew = keyed(&user, "one", 7);
    let second = node.persist(anew.clone()).await;
    assert_eq!((second.id, second.position.seq, second.duplicate), (anew.id, first.position.seq + 1, false));
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_accepts_nothing() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let batch = keyed(&user, "one", 7);
    let fingerprint = format!("{:032x}", u128::from_be_bytes(batch.key.clone().unwrap().fingerprint));
    let no_channel = format!("{fingerprint} {}", batch.id.simple());
    let claim = format!("test:k:{{{:032x}}}", 7);
    for foreign in ["foreign", &fingerprint, &no_channel, &format!("{no_channel} "), &format!("{no_channel} a b..")] {
        server.run_words(&[b"SET", claim.as_bytes(), foreign.as_bytes()]).await;
        let outcome = node.store(batch.clone()).await;
        assert!(matches!(outcome, Err(PublishFailed::NotAccepted(_))), "{foreign}: {outcome:?}");
    }
    server.run(&format!("DEL {claim}")).await;
    server.run(&format!("LPUSH {claim} foreign")).await;
    assert_eq!(node.store(batch).await, Err(PublishFailed::NotAccepted("WRONGTYPE".to_owned())));
    assert_eq!(node.top(&user).await.seq, 0);
}

#[tokio::test]
async fn a_batch_that_is_stored_in_part_is_not_called_refused() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let [good, bad] = ["user.1", "user.2"].map(channel);
    node.broker.subscribe(&bad).await.unwrap();
    server.run("SET test:{user.2}:n foreign").await;
    let batch = to_each(&[&good, &bad], keyed(&good, "one", 7));
    assert_eq!(node.store(batch.clone()).await, Err(PublishFailed::PartlyStored("WRONGTYPE".to_owned())));
    server.run("DEL test:{user.2}:n").await;
    let published = node.store(batch.clone()).await.unwrap();
    assert_eq!(
        published.iter().map(|one| (one.id, one.duplicate)).collect::<Vec<_>>(),
        [(batch.id, true), (batch.id, false)]
    );
}

#[tokio::test]
async fn what_was_cut_half_way_is_completed_once_by_repeats_on_two_nodes() {
    let server = Server::start(&[]).await;
    let nodes = [Node::redis(&server).await, Node::redis(&server).await];
    let [user, team, ops] = ["user.1", "team.a", "ops.all"].map(channel);
    // A channel that was never used would be cleared of what is foreign.
    nodes[0].broker.subscribe(&user).await.unwrap();
    for (key, cut) in [(1, &user), (2, &team)] {
        server.run(&format!("SET test:{{{cut}}}:n foreign")).await;
        let first = to_each(&[&user, &team], keyed(&user, "one", key));
        assert!(matches!(nodes[0].store(first.clone()).await, Err(PublishFailed::PartlyStored(_))));
        let other = to_each(&[&ops], keyed(&user, "two", key));
        assert_eq!(nodes[1].store(other).await, Err(PublishFailed::KeyReused));
        server.run(&format!("DEL test:{{{cut}}}:n")).await;

        // The rules may have changed meanwhile: what was begun is completed all the same.
        let elsewhere = to_each(&[&ops, &team], keyed(&user, "one", key));
        let repeats = (0..20).map(|n| nodes[n % 2].store([&first, &elsewhere][n % 2].clone()));
        for repeat in futures_util::future::join_all(repeats).await {
            let places = repeat.unwrap().into_iter().map(|one| (one.channel, one.id)).collect::<Vec<_>>();
            assert_eq!(places, [(user.clone(), first.id), (team.clone(), first.id)]);
        }
    }
    let tops = [nodes[0].top(&user).await.seq, nodes[0].top(&team).await.seq, nodes[0].top(&ops).await.seq];
    assert_eq!(tops, [2, 2, 0]);
}

#[tokio::test]
async fn what_is_not_answered_is_stored_once_when_it_is_repeated() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let user = channel("user.1");
    let batch = keyed(&user, "one", 7);
    server.run("CLIENT PAUSE 1500 ALL").await;
    let begun = Instant::now();
    let unknown = Err(PublishFailed::UnknownOutcome(Duration::from_secs(1)));
    let without_key = Batch { key: None, ..batch.clone() };
    let (outcome, claimed) = tokio::join!(node.try_publish(without_key), node.try_publish(batch.clone()));
    assert_eq!(outcome, unknown);
    // Its key was to be claimed before anything is stored.
    assert!(matches!(claimed, Err(PublishFailed::NotAccepted(_))), "{claimed:?}");
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
    let stored = node.persist(batch.clone()).await;
    assert_eq!(node.persist(batch).await, Published { duplicate: true, ..stored.clone() });
    assert_eq!(node.top(&user).await, stored.position);
}
