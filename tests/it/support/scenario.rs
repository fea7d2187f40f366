//! A configuration in a folder of its own, written for one scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fanfare::auth::generate_key;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a secret of the tests that is long enough for HS256";

/// The folder of a configuration: it goes away with this value.
#[derive(Debug)]
pub(crate) struct Scenario {
    folder: TempDir,
    key: String,
}

impl Scenario {
    /// The shop of `shop.toml`, with the schemas and plugins that the product ships.
    pub(crate) fn shop() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = generate_key(&"orders-service".parse().unwrap());
        fs::write(folder.path().join("app.secret"), SECRET).unwrap();
        fs::write(folder.path().join("orders-service.sha256"), &key.sha256).unwrap();
        for name in ["schemas", "plugins"] {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name), &folder.path().join(name));
        }
        fs::write(folder.path().join("fanfare.toml"), include_str!("../shop.toml")).unwrap();
        Self { folder, key: key.text.expose().to_owned() }
    }

    /// The main file.
    pub(crate) fn path(&self) -> PathBuf {
        self.file("fanfare.toml")
    }

    /// A file of the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces `old`, which must be there exactly once.
    #[track_caller]
    pub(crate) fn replace(self, old: &str, new: &str) -> Self {
        self.edit(old, new);
        self
    }

    /// Appends sections or rules.
    pub(crate) fn with(self, sections: &str) -> Self {
        self.append(sections);
        self
    }

    /// Sets a key of `[server]`.
    pub(crate) fn server(self, line: &str) -> Self {
        self.replace("[server]\n", &format!("[server]\n{line}\n"))
    }

    /// Sets a key of `[broker]`.
    pub(crate) fn broker(self, line: &str) -> Self {
        self.replace("[broker]\n", &format!("[broker]\n{line}\n"))
    }

    /// Sets a key of the channel `user.{user}`.
    pub(crate) fn user_channel(self, line: &str) -> Self {
        self.replace("[channels.user]\n", &format!("[channels.user]\n{line}\n"))
    }

    /// Lets several servers share one Redis.
    pub(crate) fn at(self, redis_url: &str) -> Self {
        self.replace("url = \"memory:\"", &format!("url = \"{redis_url}\""))
    }

    /// As [`Scenario::replace`], while a server runs.
    #[track_caller]
    pub(crate) fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path()).unwrap();
        assert_eq!(text.matches(old).count(), 1, "the configuration has `{old}` not exactly once");
        self.write(&text.replacen(old, new, 1));
    }

    /// As [`Scenario::with`], while a server runs.
    pub(crate) fn append(&self, sections: &str) {
        self.write(&(fs::read_to_string(self.path()).unwrap() + "\n" + sections));
    }

    /// Replaces the main file in one step, as editors do.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.file(".new"), text).unwrap();
        fs::rename(self.file(".new"), self.path()).unwrap();
    }

    /// The API key of the orders service.
    pub(crate) fn api_key(&self) -> &str {
        &self.key
    }
}

/// A token with `claims`, valid for `ttl` from now, or expired when there is none.
pub(crate) fn token(claims: Value, ttl: Option<Duration>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiry = ttl.map_or(now - 3_600, |ttl| now + ttl.as_secs());
    let mut all = json!({ "iss": "https://id.shop.test", "aud": "fanfare", "iat": now - 7_200, "exp": expiry });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &all, &key).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
