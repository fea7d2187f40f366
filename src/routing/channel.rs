//! The declared channels, and which of them a name belongs to.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Pattern, Template};
use crate::config::{EventName, Retention, Shed};
use crate::notification::{ChannelName, Name};

/// What each placeholder of a pattern stands for in one channel's name.
pub type Captures<'a> = SmallVec<[(&'a str, &'a str); 2]>;

/// One declared channel, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpec {
    /// Its name in the configuration.
    pub name: Name,
    /// The names that are its channels.
    pub pattern: Pattern,
    /// The policy that subscribers must satisfy.
    pub subscribe: Name,
    /// What is kept.
    pub retention: Retention,
    /// Whether a client that names no channel is subscribed to it.
    pub default: bool,
    /// The SSE event name of its events.
    pub event: EventName,
    /// What a reader that lags is spared.
    pub shed: Shed,
}

/// All declared channels. Their patterns do not overlap, so a name belongs to one at most.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    specs: Vec<Arc<ChannelSpec>>,
}

impl Channels {
    /// The channels of `specs`, whose patterns do not overlap.
    #[must_use]
    pub fn new(specs: Vec<Arc<ChannelSpec>>) -> Self {
        Self { specs }
    }

    /// The declaration that a name belongs to, and what its placeholders stand for.
    #[must_use]
    pub fn find<'a>(&'a self, channel: &'a ChannelName) -> Option<(&'a Arc<ChannelSpec>, Captures<'a>)> {
        self.specs.iter().find_map(|spec| Some((spec, spec.pattern.captures(channel)?)))
    }

    /// The declaration that every filling of a template belongs to.
    #[must_use]
    pub fn of_template(&self, template: &Template) -> Option<&Arc<ChannelSpec>> {
        self.specs.iter().find(|spec| template.fits(&spec.pattern))
    }

    /// Every declaration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ChannelSpec>> {
        self.specs.iter()
    }
}
