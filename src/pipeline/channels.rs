//! The channels of a subscription: those that it names or the defaults of its principal, and which of them it gets.

use super::{AttachError, Request};
use crate::auth::{AuthError, Principal, Proof};
use crate::hub::Start;
use crate::notification::ChannelName;
use crate::snapshot::{NotSubscribable, Snapshot};
use crate::stream::{Lane, MAX_CHANNELS};

/// What a subscription gets of the channels that it asks for.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Those that it listens to; one at least.
    pub(super) open: Vec<ChannelName>,
    /// Those that its cursor knows and that are declared no more. A page cannot mend its URL, so it is told of them
    /// rather than refused.
    pub(super) gone: Vec<ChannelName>,
}

impl Channels {
    /// The channels of `request`, or why the subscription is refused.
    pub(super) fn of(snapshot: &Snapshot, subscriber: &Principal, request: &Request) -> Result<Self, AttachError> {
        let mut channels = Self::default();
        let mut refusal = None;
        for channel in requested(snapshot, subscriber, &request.channels)? {
            match permit(snapshot, subscriber, &channel) {
                Ok(()) => channels.open.push(channel),
                Err(error) if is_unknown(&error) && may_be_gone(request, &channel) => {
                    channels.gone.push(channel);
                    refusal = refusal.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if channels.open.is_empty() => Err(error),
            _ => Ok(channels),
        }
    }

    /// Lets `subscriber` subscribe to all that are open, or says why not.
    pub(super) fn permit(&self, snapshot: &Snapshot, subscriber: &Principal) -> Result<(), AttachError> {
        self.open.iter().try_for_each(|channel| permit(snapshot, subscriber, channel))
    }
}

/// Lets `subscriber` subscribe to `channel`, or says why not.
pub(super) fn permit(snapshot: &Snapshot, subscriber: &Principal, channel: &ChannelName) -> Result<(), AttachError> {
    let permit = snapshot.authorize_subscribe(subscriber, channel);
    permit.map(drop).map_err(|error| AttachError::refused(subscriber, error))
}

fn is_unknown(error: &AttachError) -> bool {
    matches!(error, AttachError::NotSubscribable(NotSubscribable::Unknown(_)))
}

/// Whether the client has listened to `channel` and can be told in the stream that it is gone.
fn may_be_gone(request: &Request, channel: &ChannelName) -> bool {
    let Start::Cursor(cursor) = &request.start else { return false };
    !request.is_strict && cursor.position(channel, Lane::Normal).is_some()
}

/// The channels that a request means: those it names, sorted and each once, or the defaults of its principal.
fn requested(snapshot: &Snapshot, subscriber: &Principal, named: &[String]) -> Result<Vec<ChannelName>, AttachError> {
    let mut channels = named.iter().map(|text| text.parse()).collect::<Result<Vec<ChannelName>, _>>();
    let channels = channels.as_mut().map_err(|error| AttachError::BadChannel(error.clone()))?;
    if channels.is_empty() {
        *channels = defaults(snapshot, subscriber)?;
    }
    channels.sort();
    channels.dedup();
    match channels.len() {
        ..=MAX_CHANNELS => Ok(std::mem::take(channels)),
        more => Err(AttachError::TooManyChannels(more)),
    }
}

/// The default channels that are the subscriber's: those that are for others are left out, unless that leaves none.
fn defaults(snapshot: &Snapshot, subscriber: &Principal) -> Result<Vec<ChannelName>, AttachError> {
    let (mut permitted, mut refusal) = (Vec::new(), None);
    for channel in snapshot.default_channels(subscriber) {
        match permit(snapshot, subscriber, &channel) {
            Ok(()) => permitted.push(channel),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match refusal {
        _ if !permitted.is_empty() => Ok(permitted),
        Some(refusal) => Err(refusal),
        // Some of the default channels may be theirs once they have signed in.
        None if subscriber.proof == Proof::Anonymous && snapshot.channels.iter().any(|spec| spec.default) => {
            Err(AuthError::Missing.into())
        }
        None => Err(AttachError::NoChannel),
    }
}
