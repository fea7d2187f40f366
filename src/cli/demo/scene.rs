//! What the demo plays: the quickstart in a folder of its own, who takes part, and what is published.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::auth::mint;
use crate::cli::{faulty, token::issuer};
use crate::config::{self, Secrets};

/// Who watches.
pub(super) const USER: &str = "ada";

/// The quickstart's files, so that the demo runs wherever the program is.
const FILES: [(&str, &str); 7] = [
    ("examples/quickstart/fanfare.toml", include_str!("../../../examples/quickstart/fanfare.toml")),
    ("schemas/order.updated.json", include_str!("../../../schemas/order.updated.json")),
    ("schemas/security.alert.json", include_str!("../../../schemas/security.alert.json")),
    ("schemas/chat.mention.json", include_str!("../../../schemas/chat.mention.json")),
    ("schemas/ops.broadcast.json", include_str!("../../../schemas/ops.broadcast.json")),
    ("plugins/muted_threads.rhai", include_str!("../../../plugins/muted_threads.rhai")),
    ("plugins/quiet_hours.rhai", include_str!("../../../plugins/quiet_hours.rhai")),
];

/// A folder with the quickstart in it; gone when dropped.
pub(super) struct Scene {
    config: PathBuf,
    _folder: TempDir,
}

impl Scene {
    /// Writes the files, with the server at `port` and the admin listener at any free one.
    pub(super) fn set(port: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        for (name, text) in FILES {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"));
            std::fs::write(&path, text.replace("127.0.0.1:8081", "127.0.0.1:0"))?;
        }
        Ok(Self { config: folder.path().join(FILES[0].0), _folder: folder })
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    pub(super) fn subscriber_token(&self) -> anyhow::Result<String> {
        self.token(USER, json!({"roles": ["operator"], "teams": ["lamps"]}))
    }

    pub(super) fn producer_token(&self) -> anyhow::Result<String> {
        self.token("shop", json!({"scope": "publish"}))
    }

    fn token(&self, sub: &str, claims: Value) -> anyhow::Result<String> {
        let config =
            config::load(&self.config, Secrets::Create).into_config().map_err(|diagnostics| faulty(&diagnostics))?;
        let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
        Ok(mint(issuer(&config, None)?, sub, claims, Duration::from_secs(86_400), Timestamp::now())?)
    }
}

/// The notification that is published as number `turn`.
pub(super) fn notification(turn: usize) -> Value {
    match turn % 5 {
        0 => {
            json!({"type": "chat.mention", "userId": USER, "title": "Grace mentioned you", "message": "have you seen this?",
            "data": {"thread_id": "launch", "author": {"id": "grace", "name": "Grace"}, "direct": false}})
        }
        1 => json!({"type": "security.alert", "userId": USER, "title": "New device signed in", "priority": "critical",
            "data": {"kind": "new_device", "occurred_at": Timestamp::now().to_string(), "country": "DE"}}),
        2 => json!({"type": "ops.broadcast", "title": "Checkout is slow in eu-1", "priority": "high",
            "data": {"service": "checkout", "severity": "warning", "region": "eu-1"}}),
        3 => {
            json!({"type": "chat.mention", "userId": USER, "title": "Linus mentioned you", "message": "in a thread you muted",
            "data": {"thread_id": "noise", "author": {"id": "linus", "name": "Linus"}, "direct": false, "muted_by": [USER]}})
        }
        _ => json!({"type": "order.updated", "userId": USER, "title": "Your order has shipped",
            "data": {"order_id": format!("o{turn}"), "status": "shipped", "seller_team_id": "lamps", "total_cents": 4_200}}),
    }
}
