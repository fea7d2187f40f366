//! Buckets that nodes share in Redis.

use super::*;
use crate::broker::{Bucket, Draw, Drawn};

const INTERVAL: Duration = Duration::from_secs(60);
const BUCKET: Bucket = Bucket { id: [7; 16], interval: INTERVAL, window: Duration::from_secs(180) };

const KEY: &str = "test:l:{07070707070707070707070707070707}";

async fn draw(node: &Node, draw: Draw) -> Drawn {
    node.broker.draw(&BUCKET, draw).await.unwrap().unwrap()
}

#[tokio::test]
async fn nodes_take_from_one_bucket_no_more_than_it_holds() {
    let server = Server::start(&[]).await;
    let nodes = [Node::redis(&server).await, Node::redis(&server).await];
    let draws = (0..20).map(|n| draw(&nodes[n % 2], Draw::Take));
    let drawn = futures_util::future::join_all(draws).await;
    assert_eq!(drawn.iter().filter(|drawn| drawn.admitted).count(), 3);
    let refused = drawn.iter().find(|drawn| !drawn.admitted).unwrap();
    assert!(refused.debt <= BUCKET.window && refused.debt > BUCKET.window - Duration::from_secs(10));
    let other = Bucket { id: [8; 16], ..BUCKET };
    assert!(nodes[0].broker.draw(&other, Draw::Take).await.unwrap().unwrap().admitted);
}

#[tokio::test]
async fn a_look_at_a_shared_bucket_takes_nothing_and_leaves_nothing() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    for _ in 0..3 {
        assert_eq!(draw(&node, Draw::Look).await, Drawn { admitted: true, debt: Duration::ZERO });
    }
    assert_eq!(server.run(&format!("EXISTS {KEY}")).await, ::redis::Value::Int(0));
    let taken = draw(&node, Draw::Take).await;
    assert_eq!(taken, Drawn { admitted: true, debt: INTERVAL });
    let looked = draw(&node, Draw::Look).await;
    assert!(looked.admitted && looked.debt <= INTERVAL && !looked.debt.is_zero());
}

#[tokio::test]
async fn a_bucket_fills_and_is_gone_when_it_is_full() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    let interval = Duration::from_millis(300);
    let quick = Bucket { interval, window: interval, ..BUCKET };
    let take = async || node.broker.draw(&quick, Draw::Take).await.unwrap().unwrap();
    assert!(take().await.admitted);
    let refused = take().await;
    assert!(!refused.admitted);
    tokio::time::sleep(refused.debt + Duration::from_millis(20)).await;
    assert_eq!(server.run(&format!("EXISTS {KEY}")).await, ::redis::Value::Int(0));
    assert!(take().await.admitted);
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_bucket_emptier_than_empty() {
    let server = Server::start(&[]).await;
    let node = Node::redis(&server).await;
    server.run(&format!("SET {KEY} 99999999999999999")).await;
    assert_eq!(draw(&node, Draw::Take).await, Drawn { admitted: false, debt: BUCKET.window });
    server.run(&format!("SET {KEY} foreign")).await;
    assert!(draw(&node, Draw::Take).await.admitted);
}

#[tokio::test]
async fn a_single_node_shares_no_bucket() {
    assert_eq!(Node::memory().broker.draw(&BUCKET, Draw::Take).await, Ok(None));
}
