//! Reading from Redis: the history after a position, and the tops of a channel.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::commands::Form;
use super::envelope::{Unreadable, decode};
use super::keys::{lane_code, slot_of_channel};
use super::publish::{meta_ttl, millis};
use super::spread::Work;
use super::{Redis, read_reply};
use crate::broker::resume::{Kept, Resume};
use crate::broker::{LaneInfo, Unavailable};
use crate::notification::ChannelName;
use crate::stream::{Epoch, Lane, Message, Page, Position, Tops};

/// What `resume.lua` finds: the top, the last number that survived, the number of the first record, and the records.
type Found = (String, i64, u64, Vec<Vec<u8>>);

/// The version of the meta key that this server reads.
const META_VERSION: u32 = 1;

impl Redis {
    pub(in crate::broker) async fn read(
        &self,
        channel: &ChannelName,
        lane: Lane,
        after: Position,
        limit: usize,
    ) -> Result<Page, Unavailable> {
        let call = self.resume_call(channel, lane, after, limit);
        let reply = self.run_once(slot_of_channel(channel), &self.scripts.resume, call).await?;
        let Some((top, survived, first, records)) = read_reply::<Option<Found>>(reply)? else {
            // The reader needs a position to go on from, and there is none yet.
            let top = self.open(channel).await?[lane.index()];
            return Ok(Resume { after, top, survived: None }.page(None));
        };
        let resume = Resume { after, top: parse_position(channel, &top)?, survived: u64::try_from(survived).ok() };
        Ok(resume.page(read_records(channel, lane, first, records)))
    }

    fn resume_call(&self, channel: &ChannelName, lane: Lane, after: Position, limit: usize) -> Cmd {
        let mut call = self.scripts.resume.call(&[self.keys.meta(channel), self.keys.records(channel, lane)]);
        call.arg(lane_code(lane)).arg(after.epoch.to_string()).arg(after.seq).arg(limit.max(1));
        call
    }

    /// The tops of both lanes. A channel that has no epoch is given one.
    pub(super) async fn tops(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let reply = self.send_one(slot_of_channel(channel), self.meta_command(channel)).await?;
        match parse_tops(channel, reply)? {
            Some(tops) => Ok(tops),
            None => self.open(channel).await,
        }
    }

    /// The tops of many channels in one round trip to each server. It gives no channel an epoch: whoever must have one
    /// reads.
    pub(in crate::broker) async fn tops_of(&self, channels: &[ChannelName]) -> Vec<Result<Option<Tops>, Unavailable>> {
        let command = |channel| (slot_of_channel(channel), self.meta_command(channel));
        let commands: Vec<_> = channels.iter().map(command).collect();
        let replies = self.spread(Work::Plain(&commands), Instant::now() + self.timeout).await;
        channels.iter().zip(replies).map(|(channel, reply)| parse_tops(channel, reply?.value)).collect()
    }

    pub(in crate::broker) async fn info(&self, channel: &ChannelName) -> Result<[LaneInfo; 2], Unavailable> {
        let slot = slot_of_channel(channel);
        let mut commands = vec![(slot, self.meta_command(channel))];
        for lane in Lane::ALL {
            let mut command = redis::cmd("LLEN");
            command.arg(self.keys.records(channel, lane));
            commands.push((slot, command));
        }
        let replies = self.spread(Work::Plain(&commands), Instant::now() + self.timeout).await;
        let replies: Vec<_> = replies.into_iter().collect::<Result<_, _>>()?;
        let mut replies = replies.into_iter().map(|reply| reply.value);
        // Not `tops`: it would give the channel an epoch, and so a key that stays for a month.
        let tops = parse_tops(channel, replies.next().unwrap_or_default())?;
        let mut infos = Lane::ALL.map(|lane| LaneInfo { top: tops.map(|tops| tops[lane.index()]), length: 0 });
        for (info, reply) in infos.iter_mut().zip(replies) {
            info.length = read_reply(reply)?;
        }
        Ok(infos)
    }

    fn meta_command(&self, channel: &ChannelName) -> Cmd {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.meta(channel));
        command
    }

    async fn open(&self, channel: &ChannelName) -> Result<[Position; 2], Unavailable> {
        let mut call = self.scripts.open.begin(Form::Hash, 3, 8, 256);
        self.keys.for_write(channel, &mut call);
        call.arg(Epoch::random().to_string()).arg(millis(meta_ttl(Duration::ZERO)));
        let reply = self.run_once(slot_of_channel(channel), &self.scripts.open, call).await?;
        parse_tops(channel, reply)?.ok_or_else(|| malformed(channel))
    }
}

/// Reads the beginning of what `meta.lua` describes.
fn parse_tops(channel: &ChannelName, reply: Value) -> Result<Option<[Position; 2]>, Unavailable> {
    let Some(meta) = read_reply::<Option<String>>(reply)? else { return Ok(None) };
    let mut words = meta.split('|');
    match words.next().and_then(|version| version.parse::<u32>().ok()) {
        Some(META_VERSION) => {}
        Some(version) if version > META_VERSION => {
            return Err(Unavailable(format!(
                "a later release wrote what redis holds of `{channel}`: version {version}"
            )));
        }
        _ => return Err(malformed(channel)),
    }
    let mut tops = || {
        let epoch = words.next()?.parse().ok()?;
        let [express, normal] = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        Some([Position::new(epoch, express), Position::new(epoch, normal)])
    };
    tops().map(Some).ok_or_else(|| malformed(channel))
}

fn parse_position(channel: &ChannelName, text: &str) -> Result<Position, Unavailable> {
    text.parse().map_err(|_| malformed(channel))
}

fn malformed(channel: &ChannelName) -> Unavailable {
    Unavailable(format!("what redis holds of `{channel}` was not written by this product"))
}

/// What the records hold. What cannot be read is logged once a page, as there may be much of it.
fn read_records(channel: &ChannelName, lane: Lane, first: u64, records: Vec<Vec<u8>>) -> Vec<Kept> {
    let (mut kept, mut faults) = (Vec::with_capacity(records.len()), Vec::new());
    for (seq, record) in (first..).zip(records) {
        let message = read_record(seq, Bytes::from(record)).map_err(|fault| faults.push((seq, fault))).ok();
        kept.push(Kept { seq, message });
    }
    if let Some((seq, fault)) = faults.first() {
        tracing::error!(%channel, "{} records in the {lane} lane of `{channel}` cannot be read, the first of which is \
            {seq}: {fault}", faults.len());
    }
    kept
}

/// Reads a record as it stands in its list. Its place says which number it must have: one of another number stands in
/// a list that somebody else has written to, and would be taken for what it is not.
fn read_record(seq: u64, mut record: Bytes) -> Result<Message, Unreadable> {
    let space = record.iter().take(64).position(|byte| *byte == b' ').ok_or(Unreadable::Malformed)?;
    let head = record.split_to(space + 1);
    let number = std::str::from_utf8(&head).ok().and_then(|head| head.split_once('-')?.0.parse().ok());
    if number == Some(seq) { decode(record) } else { Err(Unreadable::Malformed) }
}
