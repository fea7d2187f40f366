//! Servers, Sentinels and clusters that are reached by TLS, with an authority of their own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use tempfile::TempDir;

use super::nodes::Cluster;
use super::sentinel::Sentinel;
use super::*;

/// A server's certificate for loopback, with what its options and its clients need of it.
struct Certified {
    options: Vec<String>,
    authority: String,
    _folder: TempDir,
}

impl Certified {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // With the name of what it certifies, a server would take that for its own certifier.
        authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let name = vec!["127.0.0.1".to_owned()];
        let server = rcgen::CertificateParams::new(name).unwrap().signed_by(&key, &issuer).unwrap();
        let mut options = vec!["--tls-auth-clients".to_owned(), "no".to_owned()];
        for (option, text) in [("cert", server.pem()), ("key", key.serialize_pem()), ("ca-cert", pem.clone())] {
            let file = folder.path().join(option);
            fs::write(&file, text).unwrap();
            options.extend([format!("--tls-{option}-file"), file.display().to_string()]);
        }
        Self { options, authority: pem, _folder: folder }
    }

    /// The options of a server, and the port where it speaks TLS.
    fn server(&self) -> (Vec<&str>, String) {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().to_string();
        (self.options.iter().map(String::as_str).collect(), port)
    }

    /// Those who know the authority publish and hear; to others the server is a stranger.
    async fn is_for_those_who_know_it(&self, url: &str) {
        let strange = config(url);
        let mut node = Node::start(&config::Broker { ca: Some(self.authority.clone()), ..strange.clone() });
        assert_eq!(node.broker.check().await, Ok(()));
        node.is_ready().await;
        node.publishes_and_hears().await;
        let node = Node::start(&strange);
        eventually(|| node.broker.readiness().unwrap_err().to_lowercase().contains("certificate")).await;
    }
}

#[tokio::test]
async fn a_server_with_tls_is_used_if_its_authority_is_known() {
    let certified = Certified::new();
    let (mut options, port) = certified.server();
    options.extend(["--tls-port", &port]);
    let _server = Server::start(&options).await;
    certified.is_for_those_who_know_it(&format!("rediss://127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn sentinels_with_tls_name_a_primary_with_tls() {
    let certified = Certified::new();
    let (mut options, port) = certified.server();
    options.extend(["--tls-port", &port]);
    let _server = Server::start(&options).await;
    let sentinel = Sentinel::with_tls(&port, &certified.options);
    let login = "sentinel_user=watcher&sentinel_password=see%26tell";
    let url = format!("rediss+sentinel://127.0.0.1:{}/main?{login}", sentinel.port);
    certified.is_for_those_who_know_it(&url).await;
}

#[tokio::test]
async fn the_servers_of_a_cluster_with_tls_name_each_other() {
    let certified = Certified::new();
    let cluster = Cluster::with_tls(&certified.options).await;
    certified.is_for_those_who_know_it(&cluster.tls_url()).await;
}
