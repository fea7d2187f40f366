//! What is found out about a server before it is used, on a real one.

use super::*;

/// Everything that the broker needs, as the operator's guide has it.
const RIGHTS: &str = "~test:* &test:* -@all +info +time +role +wait +eval +evalsha +eval_ro +evalsha_ro +get +set +del \
    +exists +pexpire +rpush +lindex +llen +lrange +ltrim +hgetall +hset +hdel +publish +subscribe +unsubscribe";

fn as_user(server: &Server, user: &str) -> config::Broker {
    config(&server.url().replace("redis://", &format!("redis://{user}:secret@")))
}

async fn allow(server: &Server, user: &str, rights: &str) {
    server.run(&format!("ACL SETUSER {user} reset on >secret {rights}")).await;
}

#[tokio::test]
async fn the_rights_of_the_guide_are_enough() {
    let server = Server::start(&[]).await;
    allow(&server, "app", RIGHTS).await;
    let mut node = Node::start(&as_user(&server, "app"));
    assert_eq!(node.broker.check().await, Ok(()));
    node.is_ready().await;
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    let published = node.try_publish(keyed(&user, "one", 1)).await.unwrap();
    assert_eq!(text_of(&node.heard.publication().await.record), "one");
    assert!(node.try_publish(keyed(&user, "one", 1)).await.unwrap().duplicate);
    assert_eq!(seqs(&node.read(&user, Position::new(published.position.epoch, 0)).await), [1]);
    assert_eq!(node.broker.info(&user).await.unwrap()[1].length, 1);
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_before_anything_is_accepted() {
    let server = Server::start(&[]).await;
    for (user, lack, named) in [
        ("a", "-rpush", "RPUSH"),
        ("b", "-info", "INFO"),
        ("c", "-eval_ro", "EVAL_RO"),
        ("d", "-subscribe -set", "SET, SUBSCRIBE"),
        ("e", "resetchannels &other:*", "PUBLISH, SUBSCRIBE"),
        ("f", "resetkeys ~other:*", "LRANGE"),
    ] {
        allow(&server, user, &format!("{RIGHTS} {lack}")).await;
        let node = Node::start(&as_user(&server, user));
        let unfit = node.broker.check().await.unwrap_err().to_string();
        for name in named.split(", ") {
            assert!(unfit.contains(name) && unfit.contains(&name.to_lowercase()), "{user}: {unfit}");
        }
        eventually(|| node.broker.readiness().unwrap_err().contains("ACL SETUSER")).await;
        let refused = node.try_publish(batch(&channel("user.1"), "{}", Priority::Medium)).await;
        assert!(matches!(&refused, Err(PublishFailed::NotAccepted(why)) if why.contains("ACL SETUSER")), "{refused:?}");
    }
}

#[tokio::test]
async fn rights_that_are_granted_later_are_enough() {
    let server = Server::start(&[]).await;
    allow(&server, "app", &format!("{RIGHTS} -rpush")).await;
    let node = Node::start(&as_user(&server, "app"));
    assert!(node.broker.check().await.is_err());
    allow(&server, "app", RIGHTS).await;
    node.is_ready().await;
}

#[tokio::test]
async fn what_is_away_is_no_reason_not_to_start() {
    let mut server = Server::start(&[]).await;
    server.kill();
    let node = Node::start(&config(&server.url()));
    assert_eq!(node.broker.check().await, Ok(()));
    server.restart().await;
    node.is_ready().await;
}
