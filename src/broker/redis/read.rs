//! Reading from Redis: the history after a position, and the tops of a channel.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};

use super::envelope::{Unreadable, decode};
use super::keys::lane_code;
use super::publish::{meta_ttl, millis};
use super::{Redis, read_reply};
use crate::broker::resume::{Kept, Resume};
use crate::broker::{LaneInfo, Unavailable};
use crate::notification::ChannelName;
use crate::stream::{Epoch, Lane, Message, Page, Position};

/// An entry of a Redis stream: its id, and names and values in turn.
type Entry = (String, Vec<Vec<u8>>);

impl Redis {
    pub(in crate::broker) async fn read(
        &self,
        channel: &ChannelName,
        lane: Lane,
        after: Position,
        limit: usize,
    ) -> Result<Page, Unavailable> {
        let call = self.resume_call(channel, lane, after, limit);
        let reply = self.commands.run_once(&self.scripts.resume, call).await?;
        let Some((top, survived, entries)) = read_reply::<Option<(String, i64, Vec<Entry>)>>(reply)? else {
            // The reader needs a position to go on from, and there is none yet.
            let top = self.open(channel).await?[lane.index()];
            return Ok(Resume { after, top, survived: None }.page(None));
        };
        let resume = Resume { after, top: parse_position(channel, &top)?, survived: u64::try_from(survived).ok() };
        Ok(resume.page(read_entries(channel, lane, entries)?))
    }

    fn resume_call(&self, channel: &ChannelName, lane: Lane, after: Position, limit: usize) -> Cmd {
        let mut call = self.scripts.resume.call(&[self.keys.meta(channel), self.keys.stream(channel, lane)]);
        call.arg(lane_code(lane)).arg(after.epoch.to_string()).arg(after.seq).arg(limit.max(1));
        call
    }

    /// The tops of both lanes. A channel that has no epoch is given one.
    pub(super) async fn tops(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let reply = self.commands.send_one(self.meta_command(channel)).await?;
        match parse_tops(channel, reply)? {
            Some(tops) => Ok(tops),
            None => self.open(channel).await,
        }
    }

    pub(in crate::broker) async fn info(&self, channel: &ChannelName) -> Result<[LaneInfo; 2], Unavailable> {
        let mut commands = Pipeline::with_capacity(1 + Lane::ALL.len());
        commands.add_command(self.meta_command(channel));
        for lane in Lane::ALL {
            commands.cmd("XLEN").arg(self.keys.stream(channel, lane));
        }
        let mut replies = self.commands.send(&commands).await?.into_iter();
        // Not `tops`: it would give the channel an epoch, and so a key that stays for a month.
        let tops = parse_tops(channel, replies.next().unwrap_or_default())?;
        let mut infos = Lane::ALL.map(|lane| LaneInfo { top: tops.map(|tops| tops[lane.index()]), length: 0 });
        for (info, reply) in infos.iter_mut().zip(replies) {
            info.length = read_reply(reply)?;
        }
        Ok(infos)
    }

    fn meta_command(&self, channel: &ChannelName) -> Cmd {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.meta(channel)).arg("e").arg(Lane::ALL.map(lane_code).as_slice());
        command
    }

    async fn open(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let mut call = self.scripts.open.call(&self.write_keys(channel));
        call.arg(Epoch::random().to_string()).arg(millis(meta_ttl(Duration::ZERO)));
        let reply = self.commands.run_once(&self.scripts.open, call).await?;
        parse_tops(channel, reply)?.ok_or_else(|| malformed(channel))
    }
}

fn parse_tops(channel: &ChannelName, reply: Value) -> Result<Option<[Position; 2]>, Unavailable> {
    let (epoch, express, normal): (Option<String>, Option<u64>, Option<u64>) = read_reply(reply)?;
    let Some(epoch) = epoch else { return Ok(None) };
    let epoch = epoch.parse().map_err(|_| malformed(channel))?;
    let (Some(express), Some(normal)) = (express, normal) else { return Err(malformed(channel)) };
    Ok(Some([Position::new(epoch, express), Position::new(epoch, normal)]))
}

fn parse_position(channel: &ChannelName, text: &str) -> Result<Position, Unavailable> {
    text.parse().map_err(|_| malformed(channel))
}

fn malformed(channel: &ChannelName) -> Unavailable {
    Unavailable(format!("what redis holds of `{channel}` was not written by this product"))
}

/// What the entries hold. What cannot be read is logged once a page, as there may be much of it.
fn read_entries(channel: &ChannelName, lane: Lane, entries: Vec<Entry>) -> Result<Vec<Kept>, Unavailable> {
    let (mut kept, mut faults) = (Vec::with_capacity(entries.len()), Vec::new());
    for (id, fields) in entries {
        let seq = id.split_once('-').and_then(|(seq, _)| seq.parse().ok()).ok_or_else(|| malformed(channel))?;
        let message = read_fields(fields).map_err(|fault| faults.push((seq, fault))).ok();
        kept.push(Kept { seq, message });
    }
    if let Some((seq, fault)) = faults.first() {
        tracing::error!(%channel, "{} records in the {lane} lane of `{channel}` cannot be read, the first of which is \
            {seq}: {fault}", faults.len());
    }
    Ok(kept)
}

fn read_fields(fields: Vec<Vec<u8>>) -> Result<Message, Unreadable> {
    match <[Vec<u8>; 2]>::try_from(fields) {
        Ok([name, record]) if name == b"d" => decode(Bytes::from(record)),
        _ => Err(Unreadable::Malformed),
    }
}
