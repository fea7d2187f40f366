//! Everything compiled from one configuration, immutable: a revision is taken whole or not at all.

mod compile;
mod diff;
mod evaluate;
mod explain;
mod live;
mod proofs;
mod told;
mod trial;

pub use compile::{Compiled, Depth, compile};
pub use diff::{Changes, Contents, Diff};
pub use evaluate::{Decision, Delivery, Dropped, Observer, Refusal, evaluate};
pub use explain::{Explanation, explain};
pub use live::{Live, LoadStatus};
pub use proofs::Invariant;
pub use told::{DroppedBy, FilterRun, Step, Told, WindowState};
pub use trial::{Account, Difference, Trial, account, try_test};

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::{Action, Authenticator, Denied, Permit, Policies, Policy, Principal};
use crate::config::{At, Config, Sources, Unmatched};
use crate::limits::{Quota, Quotas};
use crate::notification::{ChannelName, TypeName};
use crate::plugins::PluginSet;
use crate::routing::{Channels, RoutingTable};
use crate::schemas::SchemaRegistry;

/// What the server does, compiled from one configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// The content hash of all that it was compiled from.
    pub revision: Revision,
    /// What it was compiled from.
    pub config: Config,
    /// Its files.
    pub sources: Sources,
    /// The files beside it.
    pub contents: Contents,
    /// Verifies credentials.
    pub authenticator: Authenticator,
    /// Whom policies allow.
    pub policies: Policies,
    /// The declared channels.
    pub channels: Channels,
    /// The declared types.
    pub types: HashMap<TypeName, TypeSpec>,
    /// Their schemas.
    pub schemas: SchemaRegistry,
    /// Their rules.
    pub routing: RoutingTable,
    /// The filters.
    pub plugins: PluginSet,
    /// The rate limits.
    pub quotas: Quotas,
    /// What happens when no rule matches.
    pub unmatched: Unmatched,
    /// What must hold whatever is published.
    pub invariants: Vec<Invariant>,
}

/// A declared type, resolved.
#[derive(Debug)]
pub struct TypeSpec {
    /// Who may publish it.
    pub publish: Arc<Policy>,
    /// How often.
    pub limit: Option<Arc<Quota>>,
    /// Whether the decisions of late may keep what notifications hold.
    pub trace: bool,
}

/// Why a principal may not subscribe to a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSubscribable {
    /// No declared channel has that name.
    #[error("no channel `{0}` is declared")]
    Unknown(ChannelName),
    /// Its policy says no.
    #[error(transparent)]
    Denied(Denied),
}

impl Snapshot {
    /// Every file that its revision is the hash of: the configuration, the main file first, then schemas and scripts.
    /// What holds a secret or a key is none of them.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let Config { paths, types, plugins, .. } = &self.config;
        let schema = |name: &At<String>| Some(paths.schemas.as_ref()?.join(&name.value));
        let script = |name: &At<String>| Some(paths.plugins.as_ref()?.join(&name.value));
        let mut files: Vec<_> = self.sources.iter().map(|source| source.path.clone()).collect();
        let schemas: BTreeSet<_> = types.values().filter_map(|it| schema(it.schema.as_ref()?)).collect();
        let scripts: BTreeSet<_> = plugins.values().filter_map(|it| script(&it.script)).collect();
        files.extend(schemas.into_iter().chain(scripts));
        files
    }

    /// Lets `principal` subscribe to `channel`, or says why not.
    ///
    /// # Errors
    /// [`NotSubscribable`].
    pub fn authorize_subscribe(&self, principal: &Principal, channel: &ChannelName) -> Result<Permit, NotSubscribable> {
        let found = self.channels.find(channel);
        let (spec, captures) = found.ok_or_else(|| NotSubscribable::Unknown(channel.clone()))?;
        let policy = self.policies.get(spec.subscribe.as_str());
        let policy = policy.ok_or_else(|| NotSubscribable::Unknown(channel.clone()))?;
        policy.authorize(principal, &captures, Action::Subscribe(channel)).map_err(NotSubscribable::Denied)
    }
}

impl Snapshot {
    /// The channels that `principal` asks for when it names none: the default ones whose placeholders its token fills.
    /// Not all of them need be permitted to it.
    pub fn default_channels(&self, principal: &Principal) -> impl Iterator<Item = ChannelName> {
        self.channels.iter().filter(|spec| spec.default).filter_map(|spec| {
            let policy = self.policies.get(spec.subscribe.as_str())?;
            spec.pattern.fill(|placeholder| policy.own_value(principal, placeholder))
        })
    }
}

/// Names a configuration by its content: the same on every node that runs the same files.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision([u8; 32]);

impl Revision {
    /// The revision of a content hash.
    #[must_use]
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The whole hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}
