//! Users, passwords and databases, at servers and at Sentinels.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;

/// A Sentinel that knows one primary, and lets in nobody but `watcher`, who may ask what a node asks.
struct Sentinel {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Sentinel {
    fn start(primary: &Server) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\nuser default off\n\
             user watcher on >see&tell -@all +sentinel|master +sentinel|get-master-addr-by-name\n",
            folder.path().display(),
            primary.port()
        );
        fs::write(&file, text).unwrap();
        let process = Command::new("redis-server").arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self { port, process, _folder: folder }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn publish_and_hear(node: &mut Node) {
    let user = channel("user.1");
    node.broker.subscribe(&user).await.unwrap();
    node.publish(&user, "one").await;
    assert_eq!(text_of(&node.heard.publication().await.record), "one");
}

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
    publish_and_hear(&mut node).await;
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

/// Certifies a server on loopback. Returns the arguments for it, and the authority.
fn certified(folder: &TempDir) -> (Vec<String>, String) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut arguments = vec!["--tls-auth-clients".to_owned(), "no".to_owned()];
    for (option, text) in [("cert", server.pem()), ("key", key.serialize_pem()), ("ca-cert", pem.clone())] {
        let file = folder.path().join(option);
        fs::write(&file, text).unwrap();
        arguments.extend([format!("--tls-{option}-file"), file.display().to_string()]);
    }
    (arguments, pem)
}

#[tokio::test]
async fn a_server_with_tls_is_used_if_its_authority_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (mut arguments, ca) = certified(&folder);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    arguments.extend(["--tls-port".to_owned(), port.to_string()]);
    let _server = Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let strange = config(&format!("rediss://127.0.0.1:{port}"));
    let mut node = Node::start(&config::Broker { ca: Some(ca), ..strange.clone() });
    node.is_ready().await;
    publish_and_hear(&mut node).await;
    let node = Node::start(&strange);
    eventually(|| node.broker.readiness().unwrap_err().to_lowercase().contains("certificate")).await;
}

#[tokio::test]
async fn servers_and_sentinels_have_users_of_their_own() {
    let server = Server::start(&[]).await;
    server.run("ACL SETUSER app on >p@ss:word ~test:* &test:* +@all").await;
    let sentinel = Sentinel::start(&server);
    let place = format!("app:p%40ss%3Aword@127.0.0.1:{}/main/3", sentinel.port);
    let login = "sentinel_user=watcher&sentinel_password=see%26tell";
    let mut node = Node::start(&config(&format!("redis+sentinel://{place}?{login}")));
    node.is_ready().await;
    publish_and_hear(&mut node).await;
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
    let sentinel = Sentinel::start(&server);
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
