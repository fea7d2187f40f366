//! The life of one notification, on one page: each step is a leaf in the folder of its concept, and none calls
//! the next. Beside it, the way of a subscription.

mod channels;
mod error;
mod in_flight;
mod limit;
mod presence;
mod reach;
mod receipt;
mod serving;
mod settle;
mod trace;

pub use error::{AttachError, PublishError};
pub use reach::{Listeners, Reach, Receives, Standing};
pub use receipt::{Receipt, Sent};
pub use settle::Affected;
pub use trace::{Told, Trace, Traced};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::{Action, AuthError, Credential, Permit, Principal, TokenCache};
use crate::broker::{Batch, Broker, IdempotencyKey, LaneInfo, Outgoing, Published};
use crate::config::{EventName, Retention, Server, Shed};
use crate::hub::{Hello, Hub, Listening, Reader, Start, Subscription};
use crate::limits::{KeyFields, Quota, RateLimiter, Remaining};
use crate::notification::{ChannelName, Draft, Notification};
use crate::plugins::Breakers;
use crate::routing::ChannelSpec;
use crate::snapshot::{Decision, Delivery, Live, Snapshot, evaluate};
use crate::stream::{History, Message};
use crate::telemetry::Metrics;
use channels::{Channels, permit};
use in_flight::InFlight;
use serving::Serving;
use trace::Subject;

/// Verified tokens that are remembered.
const MAX_TOKENS: usize = 10_000;
/// When clients whose connections broke come back, in milliseconds: those of a node that died, over 5 s and more.
const RETRY_MS: std::ops::Range<u64> = 1_000..6_500;

/// What lives across reloads and carries notifications and subscriptions.
#[derive(Debug)]
pub struct Pipeline {
    /// The snapshot in force.
    pub live: Arc<Live>,
    /// The live subscribers.
    pub hub: Arc<Hub>,
    /// Carries publications and keeps history.
    pub broker: Arc<Broker>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The decisions of late.
    pub trace: Trace,
    tokens: TokenCache,
    limiter: RateLimiter,
    breakers: Breakers,
    in_flight: InFlight,
    draining: AtomicBool,
    heartbeat: Duration,
}

/// One publish as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// What the producer presents.
    pub credential: Option<&'a Credential>,
    /// The notification's JSON.
    pub body: &'a [u8],
    /// What makes a repeat harmless, as the producer named it.
    pub idempotency_key: Option<&'a str>,
    /// Whether it is for real.
    pub mode: Mode,
}

/// Whether a publish is for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Decide and send.
    Publish,
    /// Decide only: nothing is counted, limited or sent.
    DryRun,
}

/// One subscription as it came in.
#[derive(Debug)]
pub struct Request {
    /// What the client presents.
    pub credential: Option<Credential>,
    /// The channels it names; the default ones when it names none.
    pub channels: Vec<String>,
    /// Where it begins.
    pub start: Start,
    /// Whether a channel that is declared no more refuses it, also where its cursor knows the channel (RFC 7240).
    pub is_strict: bool,
    /// Ends its connection, whether or not anybody reads from it.
    pub kill: CancellationToken,
}

/// A look at a channel.
#[derive(Debug)]
pub struct Inspection {
    /// What is kept of each lane.
    pub lanes: [LaneInfo; 2],
    /// How many listen on this node.
    pub here: usize,
    /// How many listened on others, when these last told.
    pub elsewhere: usize,
}

impl Pipeline {
    /// A pipeline under the snapshot in force.
    #[must_use]
    pub fn new(live: Arc<Live>, hub: Arc<Hub>, broker: Arc<Broker>, metrics: Arc<Metrics>, server: &Server) -> Self {
        broker.count_in(&metrics);
        Self {
            live,
            hub,
            broker,
            metrics,
            trace: Trace::default(),
            tokens: TokenCache::new(MAX_TOKENS),
            limiter: RateLimiter::default(),
            breakers: Breakers::default(),
            in_flight: InFlight::default(),
            draining: AtomicBool::new(false),
            heartbeat: server.heartbeat,
        }
    }

    /// Accepts one notification, or says why not: the product in ten lines. Cheap checks come first, everything is
    /// decided before anything is sent, and one snapshot decides all of it.
    ///
    /// # Errors
    /// [`PublishError`], each variant with what the producer can do about it.
    pub async fn accept(&self, submission: Submission<'_>) -> Result<Arc<Receipt>, PublishError> {
        let result = self.decide_and_send(submission).await;
        if submission.mode == Mode::Publish {
            let reason = result.as_ref().map_or_else(PublishError::reason, |receipt| receipt.reason);
            self.metrics.ended(reason.code());
        }
        result
    }

    async fn decide_and_send(&self, submission: Submission<'_>) -> Result<Arc<Receipt>, PublishError> {
        // What a broker in this process takes now dies with it; one outside delivers it through other nodes.
        if self.draining.load(Ordering::Relaxed) && !self.broker.outlives_node() {
            return Err(PublishError::Draining);
        }
        let snapshot = self.live.load();
        // For every line that is logged of this decision, also of a refusal.
        tracing::Span::current().record("revision", tracing::field::display(snapshot.revision));
        let now = Timestamp::now();
        // One for all that the broker is asked: its share of a limit, too, is a part of how long a producer waits.
        let deadline = self.broker.deadline();
        let producer = self.authenticate(&snapshot, submission.credential, now)?;
        let mut draft = Draft::parse(submission.body)?;
        let admitted = self.admit(&snapshot, &producer, &mut draft, submission.mode).await;
        let notification = Arc::new(Notification::accept(draft, now));
        let result = async {
            let (permit, remaining) = admitted?;
            let mut serving = Serving::new(&self.breakers, &self.metrics, submission.mode);
            let decision = evaluate(&snapshot, &notification, now, &mut serving);
            if let Err(refusal) = &decision.outcome {
                return Err(PublishError::Refused(refusal.clone()));
            }
            let mut receipt = Receipt::new(&notification, snapshot.revision, &decision, remaining);
            if submission.mode == Mode::Publish && !decision.deliveries.is_empty() {
                let key = submission.idempotency_key.map(|key| idempotency(&producer, key, submission.body));
                let published = self.send(&permit, &snapshot, &notification, decision, key, deadline).await?;
                receipt.record(published, self.broker.durability());
            }
            Ok(Arc::new(receipt))
        }
        .await;
        if submission.mode == Mode::Publish {
            let may_keep = snapshot.types.get(&notification.draft.type_name).is_some_and(|spec| spec.trace);
            let (producer, revision, body) = (&producer.id, snapshot.revision, submission.body);
            self.trace.note(&result, &Subject { notification: &notification, producer, revision, may_keep, body });
        }
        result
    }

    /// Authorizes, limits and validates: what depends on who publishes what comes before the body costs anything.
    async fn admit(
        &self,
        snapshot: &Snapshot,
        producer: &Principal,
        draft: &mut Draft,
        mode: Mode,
    ) -> Result<(Permit, Option<Remaining>), PublishError> {
        if mode == Mode::Publish {
            self.metrics.received(draft.type_name.as_str());
        }
        let spec = snapshot.types.get(&draft.type_name);
        let spec = spec.ok_or_else(|| PublishError::unknown_type(snapshot, producer, &draft.type_name))?;
        let action = Action::Publish(&draft.type_name);
        let permit =
            spec.publish.authorize(producer, &[], action).map_err(|denied| PublishError::denied(producer, denied))?;
        let remaining = match &spec.limit {
            None => None,
            Some(quota) => Some(self.take_token(quota, producer, draft, mode).await?),
        };
        snapshot.schemas.check(draft)?;
        Ok((permit, remaining))
    }

    async fn take_token(
        &self,
        quota: &Quota,
        producer: &Principal,
        draft: &Draft,
        mode: Mode,
    ) -> Result<Remaining, PublishError> {
        let key = quota.key(&KeyFields::of(&producer.id, draft));
        self.limit(quota, &key, mode).await.map_err(|limited| {
            if mode == Mode::Publish {
                self.metrics.limit_exceeded(quota.name().as_str());
            }
            PublishError::Limited(limited)
        })
    }

    async fn send(
        &self,
        permit: &Permit,
        snapshot: &Snapshot,
        notification: &Notification,
        decision: Decision,
        key: Option<IdempotencyKey>,
        deadline: Instant,
    ) -> Result<Vec<Published>, PublishError> {
        // Two publishes with one key at a time on this node: the second is told to wait, rather than racing.
        let _turn = match &key {
            Some(key) => Some(self.in_flight.enter(key.digest).ok_or(PublishError::InFlight)?),
            None => None,
        };
        let message = |Delivery { channel, spec }| outgoing(notification, channel, Some(&spec));
        let messages = decision.deliveries.into_iter().map(message).collect();
        let batch = Batch { id: notification.id, key, messages };
        // A repeat goes where the first went, and is the same notification there.
        let readdress = |id, channel: ChannelName| {
            let spec = snapshot.channels.find(&channel).map(|(spec, _)| Arc::clone(spec));
            outgoing(&Notification { id, ..notification.clone() }, channel, spec.as_deref())
        };
        self.broker.publish(permit, batch, readdress, deadline).await.map_err(PublishError::from)
    }

    /// Attaches a subscriber: authorize each channel, open it, register with the hub, and only then decide where it
    /// begins, so that nothing published meanwhile is missed. A channel that its cursor knows and that is declared no
    /// more is told to be gone, as long as another is left.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn attach(&self, request: Request) -> Result<Reader, AttachError> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(AttachError::Draining);
        }
        let snapshot = self.live.load();
        let now = Timestamp::now();
        let subscriber = self.authenticate(&snapshot, request.credential.as_ref(), now)?;
        // The leeway that a presented token has is none for a stream, which would be ended at once.
        if let Some(expiry) = subscriber.expires_at.filter(|expiry| *expiry <= now) {
            return Err(AuthError::Expired(expiry).into());
        }
        let channels = Channels::of(&snapshot, &subscriber, &request)?;
        let listening = self.open(&snapshot, &channels.open).await?;
        let hello = self.hello(&snapshot, &subscriber, &channels);
        let history = Arc::clone(&self.broker) as Arc<dyn History>;
        let (principal, start, kill) = (Arc::clone(&subscriber), request.start, request.kill);
        let subscription = Subscription { principal, listening, start, hello, history, kill };
        let reader = Reader::attach(&self.hub, subscription)?;
        // A drain or a reload that began while the channels opened did not see this subscription; a later one does.
        if self.draining.load(Ordering::SeqCst) {
            return Err(AttachError::Draining);
        }
        let latest = self.live.load();
        if latest.revision != snapshot.revision {
            self.authenticate(&latest, request.credential.as_ref(), Timestamp::now())?;
            channels.permit(&latest, &subscriber)?;
        }
        Ok(reader)
    }

    async fn open(&self, snapshot: &Snapshot, channels: &[ChannelName]) -> Result<Box<[Listening]>, AttachError> {
        let open = async |channel: &ChannelName| {
            let lease = self.hub.open(channel, || self.broker.subscribe(channel)).await?;
            let spec = snapshot.channels.find(channel);
            Ok::<_, AttachError>(Listening { lease, sheds_low: spec.is_some_and(|(spec, _)| spec.shed == Shed::Low) })
        };
        Ok(futures_util::future::try_join_all(channels.iter().map(open)).await?.into())
    }

    fn hello(&self, snapshot: &Snapshot, subscriber: &Principal, channels: &Channels) -> Hello {
        let data = json!({
            "channels": channels.open.iter().map(ChannelName::as_str).collect::<Vec<_>>(),
            "revision": snapshot.revision.to_string(),
            "heartbeat": self.heartbeat.as_secs_f64(),
            "expiresAt": subscriber.expires_at.map(|at| at.to_string()),
        });
        let retry = Duration::from_millis(rand::random_range(RETRY_MS));
        Hello { data, retry, gone: channels.gone.clone() }
    }

    /// What is kept of a channel and how many listen to it.
    ///
    /// # Errors
    /// [`AttachError`], as for subscribing to it.
    pub async fn inspect(&self, credential: Option<&Credential>, channel: &str) -> Result<Inspection, AttachError> {
        let snapshot = self.live.load();
        let caller = self.authenticate(&snapshot, credential, Timestamp::now())?;
        let channel: ChannelName = channel.parse().map_err(AttachError::BadChannel)?;
        permit(&snapshot, &caller, &channel)?;
        let (lanes, elsewhere) =
            tokio::try_join!(self.broker.info(&channel), self.broker.listeners_elsewhere(&channel))?;
        let here = self.hub.channel(&channel).map_or(0, |local| local.listeners());
        Ok(Inspection { lanes, here, elsewhere })
    }

    /// Who presents `credential`.
    ///
    /// # Errors
    /// Why it proves nobody.
    pub fn authenticate(
        &self,
        snapshot: &Snapshot,
        credential: Option<&Credential>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        snapshot.authenticator.authenticate_cached(credential, &self.tokens, now)
    }

    /// Takes no more subscriptions, and no more publishes that would be lost with this node.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether what is published now would be received.
    ///
    /// # Errors
    /// What is broken.
    pub fn readiness(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".to_owned());
        }
        self.broker.readiness()
    }
}

/// What goes to a channel. One without `spec` is declared no more: nobody can listen to it.
fn outgoing(notification: &Notification, channel: ChannelName, spec: Option<&ChannelSpec>) -> Outgoing {
    let draft = &notification.draft;
    let message = Message {
        priority: draft.priority,
        expires_ms: notification.expires_at().and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        collapse_key: draft.collapse_key.as_deref().map(Box::from),
        event: spec.is_some_and(|spec| spec.event == EventName::Type).then(|| draft.type_name.as_str().into()),
        json: notification.to_json(&channel).into(),
    };
    let retention = spec.map_or_else(Retention::default, |spec| spec.retention);
    Outgoing { channel, retention, message }
}

/// Keys of different producers never meet: who it is goes into the digest, with its length, so that no other pair
/// joins to the same text.
fn idempotency(producer: &Principal, key: &str, body: &[u8]) -> IdempotencyKey {
    let mut digest = Sha256::new();
    digest.update((producer.id.len() as u64).to_be_bytes());
    digest.update(producer.id.as_bytes());
    digest.update(key.as_bytes());
    let half = |hash: [u8; 32]| {
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        half
    };
    IdempotencyKey { digest: half(digest.finalize().into()), fingerprint: half(Sha256::digest(body).into()) }
}
