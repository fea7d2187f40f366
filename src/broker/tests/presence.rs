//! Who listens on which node, in Redis.

use super::*;

const TTL: Duration = Duration::from_secs(45);

async fn elsewhere(node: &Node, channel: &ChannelName) -> usize {
    node.broker.listeners_elsewhere(channel).await.unwrap()
}

#[tokio::test]
async fn each_node_counts_those_of_the_others() {
    let server = Server::start(&[]).await;
    let [a, b, c] = [Node::redis(&server).await, Node::redis(&server).await, Node::redis(&server).await];
    let [user, team] = ["user.1", "team.a"].map(channel);
    a.broker.announce(&[(user.clone(), 2), (team.clone(), 1)], TTL).await.unwrap();
    b.broker.announce(&[(user.clone(), 5)], TTL).await.unwrap();
    assert_eq!([elsewhere(&a, &user).await, elsewhere(&b, &user).await, elsewhere(&c, &user).await], [5, 2, 7]);
    assert_eq!([elsewhere(&a, &team).await, elsewhere(&b, &team).await], [0, 1]);
    a.broker.announce(&[(user.clone(), 3), (team.clone(), 0)], TTL).await.unwrap();
    assert_eq!([elsewhere(&b, &user).await, elsewhere(&b, &team).await], [3, 0]);
    assert_eq!(server.run("EXISTS test:{team.a}:p").await, ::redis::Value::Int(0));
}

#[tokio::test]
async fn a_node_that_says_no_more_is_forgotten_while_others_go_on() {
    let server = Server::start(&[]).await;
    let [dead, alive, asks] = [Node::redis(&server).await, Node::redis(&server).await, Node::redis(&server).await];
    let user = channel("user.1");
    dead.broker.announce(&[(user.clone(), 2)], Duration::from_millis(300)).await.unwrap();
    alive.broker.announce(&[(user.clone(), 3)], TTL).await.unwrap();
    assert_eq!(elsewhere(&asks, &user).await, 5);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(elsewhere(&asks, &user).await, 3);
    alive.broker.announce(&[(user.clone(), 3)], TTL).await.unwrap();
    assert_eq!(server.run("HLEN test:{user.1}:p").await, ::redis::Value::Int(1), "what it had said is taken away");
}

#[tokio::test]
async fn many_channels_are_told_in_chunks_and_expire() {
    let server = Server::start(&[]).await;
    let [a, b] = [Node::redis(&server).await, Node::redis(&server).await];
    let listeners: Vec<_> = (0..1_000).map(|n| (channel(&format!("user.{n}")), 1)).collect();
    a.broker.announce(&listeners, Duration::from_secs(1)).await.unwrap();
    assert_eq!(elsewhere(&b, &listeners[999].0).await, 1);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(elsewhere(&b, &listeners[999].0).await, 0);
    assert_eq!(server.run("EXISTS test:{user.7}:p").await, ::redis::Value::Int(0));
}
