//! What a run came to, as a table for people and JSON for machines.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::{LoadArgs, Memory, Outcome, Use};
use super::subscriber::Tally;

/// Below this the kernel's tick of processor time is too coarse to divide.
const MIN_CPU: Duration = Duration::from_millis(100);
/// With fewer streams, what the first of them make the server keep would count for them.
const MIN_STREAMS: usize = 100;
/// A rate that is missed by more is told.
const MISSED: f64 = 0.98;

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    load: Load,
    warm_up: u64,
    published: u64,
    publishes_per_second: f64,
    delivered: u64,
    deliveries_per_second: f64,
    /// From sending a notification until a subscriber had it.
    latency_ms: Percentiles,
    /// From sending a notification until the receipt.
    answer_ms: Percentiles,
    lost: u64,
    doubled: u64,
    out_of_order: u64,
    crossed: u64,
    /// Events by which the server told of a loss, and streams that ended before the run did; the first of each.
    gaps: u64,
    first_gap: Option<String>,
    ended: usize,
    first_end: Option<String>,
    server: Option<Used>,
    generator: Option<Used>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Load {
    subscribers: u32,
    channels: u32,
    publishers: u32,
    rate: u32,
    payload: u32,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}

impl Percentiles {
    fn of(nanos: &Histogram<u64>) -> Self {
        let at = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e6;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: nanos.max() as f64 / 1e6 }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns =
            [("p50", self.p50), ("p90", self.p90), ("p99", self.p99), ("p99.9", self.p99_9), ("max", self.max)];
        let columns = columns.map(|(name, ms)| format!("{name} {} ms", number(ms)));
        f.write_str(&columns.join("   "))
    }
}

/// What a process used while it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    pid: u32,
    cpu_seconds: f64,
    /// Of one core. As what follows, none when it used too little to say.
    cpu_share: Option<f64>,
    cpu_micros_per_delivery: Option<f64>,
    cpu_micros_per_publish: Option<f64>,
    memory_kib: Option<u64>,
    /// None when there are too few to say.
    memory_kib_per_connection: Option<f64>,
}

impl Used {
    fn new(of: Use, outcome: &Outcome, delivered: u64) -> Self {
        let seconds = of.cpu.as_secs_f64();
        let per = |count: f64| (of.cpu >= MIN_CPU && count > 0.0).then(|| seconds / count);
        let time = outcome.delivering.max(outcome.publishing).as_secs_f64();
        let streams = outcome.tallies.len() - 1;
        let each = |kib: Memory| (kib.open as f64 - kib.first as f64) / streams as f64;
        Self {
            pid: of.pid,
            cpu_seconds: seconds,
            cpu_share: per(time),
            cpu_micros_per_delivery: per(delivered as f64 / 1e6),
            cpu_micros_per_publish: per(outcome.published as f64 / 1e6),
            memory_kib: of.memory.map(|kib| kib.end),
            memory_kib_per_connection: of.memory.filter(|_| streams >= MIN_STREAMS).map(each),
        }
    }
}

/// How many a second.
fn ratio(count: f64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

impl Report {
    pub(super) fn new(args: &LoadArgs, outcome: &Outcome) -> Self {
        let sum = |of: fn(&Tally) -> u64| outcome.tallies.iter().map(of).sum::<u64>();
        let delivered = sum(|tally| tally.measured);
        let used = |of: Option<Use>| of.map(|of| Used::new(of, outcome, delivered));
        let ends = || outcome.tallies.iter().filter_map(|tally| tally.ended.as_ref());
        let LoadArgs { subscribers, channels, publishers, rate, .. } = *args;
        let payload = args.payload();
        Self {
            load: Load { subscribers, channels, publishers, rate, payload },
            warm_up: outcome.warm_up,
            published: outcome.published,
            publishes_per_second: ratio(outcome.published as f64, outcome.publishing),
            delivered,
            deliveries_per_second: ratio(delivered as f64, outcome.delivering),
            latency_ms: Percentiles::of(&outcome.latencies),
            answer_ms: Percentiles::of(&outcome.answers),
            lost: outcome.lost,
            doubled: sum(|tally| tally.doubled),
            out_of_order: sum(|tally| tally.out_of_order),
            crossed: sum(|tally| tally.crossed),
            gaps: sum(|tally| tally.gaps),
            first_gap: outcome.tallies.iter().find_map(|tally| tally.first_gap.clone()),
            ended: ends().count(),
            first_end: ends().next().cloned(),
            server: used(outcome.server),
            generator: used(outcome.generator),
        }
    }

    /// Whether every subscriber got everything, once, in order, and nothing else.
    pub(super) fn is_faultless(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.out_of_order == 0 && self.crossed == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { subscribers, channels, publishers, rate, payload } = self.load;
        let counts = [(subscribers, "subscriber"), (channels, "channel"), (publishers, "publisher")];
        let counts = counts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
        let pace = if rate == 0 { "flat out".to_owned() } else { format!("at {rate}/s") };
        writeln!(f, "{} {pace}, {payload} bytes of payload\n", counts.join(", "))?;
        let (publishes, deliveries) = (whole(self.publishes_per_second), whole(self.deliveries_per_second));
        writeln!(f, "  published    {:>12}   {publishes}/s", whole(self.published as f64))?;
        writeln!(f, "  delivered    {:>12}   {deliveries}/s", whole(self.delivered as f64))?;
        writeln!(f, "  latency      {}", self.latency_ms)?;
        writeln!(f, "  answer       {}", self.answer_ms)?;
        let Self { lost, doubled, out_of_order, crossed, .. } = self;
        writeln!(
            f,
            "  faults       lost {lost}   doubled {doubled}   out of order {out_of_order}   crossed {crossed}"
        )?;
        for (who, used) in [("server", &self.server), ("generator", &self.generator)] {
            if let Some(used) = used {
                writeln!(f, "  {who:<12} {used}")?;
            }
        }
        self.remarks(f)
    }
}

impl Report {
    fn remarks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = f64::from(self.load.rate);
        if self.published > 1 && self.publishes_per_second < wanted * MISSED {
            writeln!(f, "\nthe rate was not reached: publishers waited for answers; more --publishers may help")?;
        }
        if let Some(first) = &self.first_gap {
            writeln!(f, "\n{} events told of a loss; the first: {first}", self.gaps)?;
        }
        if let Some(first) = &self.first_end {
            writeln!(f, "\n{} streams ended before the run did; the first: {first}", self.ended)?;
        }
        Ok(())
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cpu_share, self.cpu_micros_per_delivery) {
            (Some(share), Some(micros)) => {
                write!(f, "{:.0} % of a core   {} µs per delivery", share * 100.0, number(micros))?;
            }
            _ => f.write_str("too little processor time to say")?,
        }
        if let Some(kib) = self.memory_kib {
            write!(f, "   {} MiB", number(kib as f64 / 1024.0))?;
        }
        if let Some(kib) = self.memory_kib_per_connection {
            write!(f, "   {} KiB per idle connection", number(kib))?;
        }
        Ok(())
    }
}

/// A figure with three digits, or all of those before the point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// A whole figure with a space between thousands.
fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 0.0421, 2.345, 23.45, 1234.5].map(number), ["0", "0.042", "2.35", "23.4", "1234"]);
        assert_eq!([0.0, 999.4, 1_000.0, 1_234_567.0].map(whole), ["0", "999", "1 000", "1 234 567"]);
    }
}
