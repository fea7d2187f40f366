//! Writes down what one connection hears, as the checker reads it.

use std::sync::Arc;

use fanfare::notification::ChannelName;
use fanfare::stream::{Cursor, Lane, Position};
use serde_json::Value;

use super::Event;
use crate::checker::{self, Heard, Kind};

/// Where a connection was asked to begin.
#[derive(Debug, Clone)]
pub(crate) enum Begin {
    /// With what is published from now on.
    Now,
    /// Where this cursor stands.
    Cursor(String),
    /// So many records before the top: what precedes the first that comes is not told.
    Last,
}

/// Listens to one connection.
#[derive(Debug)]
pub(crate) struct Ear {
    connection: usize,
    principal: Arc<str>,
    channels: Vec<ChannelName>,
    /// The same, as the log has them.
    names: Vec<Arc<str>>,
    from: Begin,
    /// By channel and lane, the position that was heard last of the stream; none when nothing was.
    at: Vec<[Option<Position>; 2]>,
    /// The id of the last event.
    pub(crate) cursor: Option<String>,
}

impl Ear {
    pub(crate) fn new(connection: usize, principal: &str, channels: &[String], from: Begin) -> Self {
        let at = vec![[None; 2]; channels.len()];
        let names = channels.iter().map(|channel| channel.as_str().into()).collect();
        let channels = channels.iter().map(|channel| channel.parse().unwrap()).collect();
        Self { connection, principal: principal.into(), channels, names, from, at, cursor: None }
    }

    /// The streams that it listens to, each with the position that the last event's cursor has of it.
    pub(crate) fn streams(&self) -> Vec<(usize, Lane, Position)> {
        let Some(text) = &self.cursor else { return Vec::new() };
        let cursor = Cursor::parse(text.as_bytes()).unwrap_or_else(|_| panic!("the server wrote `{text}`"));
        let lanes = |(index, channel)| Lane::ALL.map(|lane| Some((index, lane, cursor.position(channel, lane)?)));
        self.channels.iter().enumerate().flat_map(lanes).flatten().collect()
    }

    pub(crate) fn channel(&self, index: usize) -> &ChannelName {
        &self.channels[index]
    }

    /// Writes down an event.
    pub(crate) fn hear(&mut self, event: &Event, log: &mut Vec<Heard>) {
        let Some(id) = &event.id else { return };
        self.cursor = Some(id.clone());
        let data = &event.value;
        if event.name.as_deref() == Some("hello") {
            return self.begin(log);
        }
        let of = what(event, data);
        let streams = self.streams();
        if let Some((channel, lane, kind)) = of {
            let is =
                |(index, of, _): &&(usize, Lane, Position)| self.channels[*index].as_str() == channel && *of == lane;
            let (index, _, position) = *streams.iter().find(is).unwrap_or_else(|| panic!("not asked for: {event:?}"));
            self.at[index][lane.index()] = Some(position);
            log.push(self.heard(index, lane, position, kind));
        }
        for (index, lane, position) in streams {
            // What is where it was, as most are, says nothing new.
            let at = &mut self.at[index][lane.index()];
            if at.is_some_and(|at| at != position) {
                *at = Some(position);
                log.push(self.heard(index, lane, position, Kind::Stands));
            }
        }
    }

    fn begin(&mut self, log: &mut Vec<Heard>) {
        let asked = match &self.from {
            Begin::Last => return,
            Begin::Now => None,
            Begin::Cursor(cursor) => Cursor::parse(cursor.as_bytes()).ok(),
        };
        for (index, lane, greeted) in self.streams() {
            let named = asked.as_ref().and_then(|cursor| cursor.position(&self.channels[index], lane));
            let (position, kind) = named.map_or((greeted, Kind::Opened), |position| (position, Kind::Resumed));
            log.push(self.heard(index, lane, position, kind));
            // Where it was told that it begins must be where it asked to.
            log.push(self.heard(index, lane, greeted, Kind::Stands));
            self.at[index][lane.index()] = Some(greeted);
        }
    }

    /// Notes that everything up to `position` was there to be heard.
    pub(crate) fn end(&self, index: usize, lane: Lane, position: Position, log: &mut Vec<Heard>) {
        if self.at[index][lane.index()].is_some() {
            log.push(self.heard(index, lane, position, Kind::Stands));
        }
    }

    fn heard(&self, index: usize, lane: Lane, position: Position, kind: Kind) -> Heard {
        let channel = Arc::clone(&self.names[index]);
        Heard { connection: self.connection, principal: Arc::clone(&self.principal), channel, lane, position, kind }
    }
}

/// Which stream an event is about, and what it says of it.
fn what<'a>(event: &Event, data: &'a Value) -> Option<(&'a str, Lane, Kind)> {
    let number = |name: &str| data[name].as_u64().unwrap_or_else(|| panic!("no `{name}`: {event:?}"));
    let kind = match event.name.as_deref() {
        Some("bye") => return None,
        Some("gap") => Kind::Gap { from: number("from"), to: number("to") },
        Some("reset") => Kind::Reset,
        Some("lag") => Kind::Lag { skipped: number("expired") + number("conflated") + number("shed") },
        _ => Kind::Live { payload: content(data) },
    };
    let channel = data["channel"].as_str()?;
    let lane = match (data["lane"].as_str(), data["priority"].as_str()) {
        (Some("express"), _) | (None, Some("high" | "critical")) => Lane::Express,
        _ => Lane::Normal,
    };
    Some((channel, lane, kind))
}

/// The fingerprint of what a producer wrote, whatever the server added.
pub(crate) fn content(notification: &Value) -> u64 {
    let all = notification.as_object().unwrap();
    let written = ["type", "userId", "title", "message", "priority", "data"];
    checker::payload(&written.map(|name| all.get(name).map(Value::to_string)))
}
