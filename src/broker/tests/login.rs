//! Users, passwords and databases, at servers and at Sentinels.

use super::sentinel::Sentinel;
use super::*;

/// How many keys each database has, as `INFO` tells it.
async fn keyspace(server: &Server) -> String {
    let info: String = ::redis::from_redis_value(server.run("INFO keyspace").await).unwrap();
    info.lines().filter_map(|line| line.split_once(':')).map(|(database, _)| database).collect()
}

#[tokio::test]
async fn a_user_with_a_password_publishes_in_the_database_of_the_url() {
    let server = Server::start(&[]).await;
    server.run("ACL SETUSER app on >p@ss:word ~test:* &test:* +@all").await;
    let place = format!("app:p%40ss%3Aword@127.0.0.1:{}/3", server.port());
    let mut node = Node::start(&config(&format!("redis://{place}")));
    node.is_ready().await;
    node.publishes_and_hears().await;
    assert_eq!(keyspace(&server).await, "db3");
}

#[tokio::test]
async fn a_login_or_database_that_the_server_refuses_ends_the_start() {
    let server = Server::start(&["--databases", "4"]).await;
    server.run("ACL SETUSER app on >secret ~test:* &test:* +@all").await;
    server.run("ACL SETUSER narrow on >secret ~test:* &test:* +@all -select").await;
    server.run("ACL SETUSER default off").await;
    for (place, why) in [("app:wrong@", "WRONGPASS"), ("stranger:secret@", "WRONGPASS"), ("", "NOAUTH")] {
        let unfit = Node::start(&config(&format!("redis://{place}127.0.0.1:{}", server.port()))).broker.check().await;
        assert!(matches!(&unfit, Err(Unfit::Login(told)) if told.contains(why)), "{place}: {unfit:?}");
    }
    for (user, database, why) in [("app", 4, "out of range"), ("narrow", 3, "no permissions")] {
        let url = format!("redis://{user}:secret@127.0.0.1:{}/{database}", server.port());
        let unfit = Node::start(&config(&url)).broker.check().await;
        assert!(matches!(&unfit, Err(Unfit::Database(told)) if told.contains(why)), "{url}: {unfit:?}");
    }
}

#[tokio::test]
async fn servers_and_sentinels_have_users_of_their_own() {
    let server = Server::start(&[]).await;
    server.run("ACL SETUSER app on >p@ss:word ~test:* &test:* +@all").await;
    let sentinel = Sentinel::start(&server.port());
    let place = format!("app:p%40ss%3Aword@127.0.0.1:{}/main/3", sentinel.port);
    let login = "sentinel_user=watcher&sentinel_password=see%26tell";
    let mut node = Node::start(&config(&format!("redis+sentinel://{place}?{login}")));
    node.is_ready().await;
    node.publishes_and_hears().await;
    assert_eq!(keyspace(&server).await, "db3");
    let stranger = Node::start(&config(&format!("redis+sentinel://{place}")));
    let unfit = stranger.broker.check().await;
    assert!(matches!(&unfit, Err(Unfit::Login(why)) if why.contains("NOAUTH")), "{unfit:?}");
    eventually(|| stranger.broker.readiness().unwrap_err().contains("of 1 sentinels none names the primary")).await;
}

#[tokio::test]
async fn a_replica_that_a_sentinel_names_is_not_used() {
    let server = Server::start(&[]).await;
    server.run("ACL SETUSER app on >secret ~* &* +@all").await;
    let sentinel = Sentinel::start(&server.port());
    let login = "sentinel_user=watcher&sentinel_password=see%26tell";
    let url = format!("redis+sentinel://app:secret@127.0.0.1:{}/main?{login}", sentinel.port);
    server.run("REPLICAOF 127.0.0.1 1").await;
    let node = Node::start(&config(&url));
    eventually(|| node.broker.readiness().unwrap_err().contains("is not the primary")).await;
    let refused = node.try_publish(batch(&channel("user.1"), "{}", Priority::Medium)).await;
    assert!(matches!(refused, Err(PublishFailed::NotAccepted(_))), "{refused:?}");
    server.run("REPLICAOF NO ONE").await;
    node.is_ready().await;
}
