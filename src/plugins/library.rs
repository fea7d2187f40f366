//! The functions that scripts have beside the language: texts, patterns, buckets and times.
//!
//! | function | gives |
//! |---|---|
//! | `pass()`, `drop("reason")` | the verdicts; a reason is a name such as `muted-thread` |
//! | `s.len`, `lower(s)`, `upper(s)`, `trim(s)` | the characters of a text; the text changed |
//! | `starts_with(s, t)`, `ends_with(s, t)`, `contains(s, t)`, `t in s` | whether a text has another one in it |
//! | `split(s, separator)` | an array of the parts |
//! | `glob(s, pattern)` | whether the whole text fits `*`, `?`, `[...]`, as `glob` in a rule |
//! | `matches(s, regex)` | whether a regular expression of linear time is found in the text |
//! | `hash_bucket(key, n)` | a number from 0 to n - 1, the same for a key everywhere and always |
//! | `t.hour(zone)`, `t.minute(zone)`, `t.weekday(zone)` | local time; the weekday as `monday` |
//! | `t.minutes_since(text)` | whole minutes from an RFC 3339 time to `t`, such as `ctx.now` |
//!
//! Texts are charged to the budget by length, patterns at a flat price beside.

use std::cell::RefCell;
use std::collections::HashMap;

use jiff::{Timestamp, ZonedDateTime};
use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position};
use sha2::{Digest, Sha256};

use super::budget::{self, Limit};
use super::{Verdict, engine::MAX_ARRAY};
use crate::config::compile_glob;

/// Most bytes in a pattern.
const MAX_PATTERN: usize = 256;
/// Most memory of one compiled pattern, in bytes.
const MAX_COMPILED: usize = 256 * 1024;
/// What a pattern costs, in operations: enough for the clock to be read after each. Compiled before or not, it costs
/// the same, so that a verdict never depends on what a thread ran earlier.
const PATTERN_COST: u64 = 100;
/// Bytes of text that cost one operation.
const BYTES_PER_OPERATION: usize = 64;
/// What a line of `print` costs, in operations, which bounds how many one call can write.
const PRINT_COST: u64 = 100;
/// Most characters of a printed line that are logged.
const MAX_PRINTED: usize = 256;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// An error that a script's author reads.
pub(super) fn fault(message: String) -> Box<EvalAltResult> {
    message.into()
}

/// Charges the budget for looking at `text`.
pub(super) fn charge(text: &str) -> Fallible<()> {
    budget::spend(1 + (text.len() / BYTES_PER_OPERATION) as u64).map_err(terminated)
}

/// Ends the run; unlike [`fault`] a script cannot catch it.
fn terminated(limit: Limit) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(format!("{limit:?}")), Position::NONE))
}

/// Tells `engine` about every function of this file.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Verdict>("verdict")
        .register_fn("pass", || Verdict::Pass)
        .register_fn("drop", drop_for)
        .on_print(print)
        .on_debug(|text, _, _| print(text));
    register_texts(engine);
    register_times(engine);
}

fn register_texts(engine: &mut Engine) {
    engine
        .register_get("len", |s: &mut ImmutableString| length(s))
        .register_fn("len", length)
        .register_fn("lower", |s: &str| changed(s, str::to_lowercase))
        .register_fn("upper", |s: &str| changed(s, str::to_uppercase))
        .register_fn("trim", |s: &str| changed(s, |s| s.trim().to_owned()))
        .register_fn("starts_with", |s: &str, t: &str| charge(s).map(|()| s.starts_with(t)))
        .register_fn("ends_with", |s: &str, t: &str| charge(s).map(|()| s.ends_with(t)))
        .register_fn("contains", |s: &str, t: &str| charge(s).map(|()| s.contains(t)))
        .register_fn("split", split)
        .register_fn("glob", |s: &str, pattern: &str| {
            fits(&GLOBS, s, pattern, |pattern| compile_glob(pattern, MAX_COMPILED))
        })
        .register_fn("matches", |s: &str, pattern: &str| fits(&REGEXES, s, pattern, compile_regex))
        .register_fn("hash_bucket", hash_bucket);
}

fn register_times(engine: &mut Engine) {
    engine
        .register_fn("hour", |t: Timestamp, zone: &str| local(t, zone).map(|local| i64::from(local.hour())))
        .register_fn("minute", |t: Timestamp, zone: &str| local(t, zone).map(|local| i64::from(local.minute())))
        .register_fn("weekday", |t: Timestamp, zone: &str| {
            local(t, zone).map(|local| local.strftime("%A").to_string().to_lowercase())
        })
        .register_fn("minutes_since", |t: Timestamp, text: &str| {
            let past: Timestamp = text.parse().map_err(|_| fault(format!("`{text}` is not an RFC 3339 time")))?;
            Fallible::Ok((t.as_second() - past.as_second()).div_euclid(60))
        });
}

fn drop_for(reason: &str) -> Fallible<Verdict> {
    match reason.parse() {
        Ok(reason) => Ok(Verdict::Drop(reason)),
        Err(error) => Err(fault(format!("drop: {error}"))),
    }
}

fn print(text: &str) {
    // The callback cannot fail; a limit exceeded here ends the script at its next operation.
    if budget::spend(PRINT_COST).is_ok() {
        let line: String = text.chars().take(MAX_PRINTED).collect();
        tracing::debug!(line, "a script printed `{line}`");
    }
}

fn length(s: &str) -> Fallible<i64> {
    charge(s).map(|()| s.chars().count() as i64)
}

fn changed(s: &str, change: impl FnOnce(&str) -> String) -> Fallible<String> {
    charge(s).map(|()| change(s))
}

fn split(s: &str, separator: &str) -> Fallible<Array> {
    charge(s)?;
    if separator.is_empty() {
        return Err(fault("split: the separator is empty".into()));
    }
    // The engine checks the size of an array only once it exists.
    if s.split(separator).nth(MAX_ARRAY).is_some() {
        return Err(fault(format!("split: more than {MAX_ARRAY} parts")));
    }
    Ok(s.split(separator).map(|part| part.into()).collect())
}

/// The first 8 bytes of the key's SHA-256, big-endian, modulo `n`: any other program can compute the same bucket.
fn hash_bucket(key: &str, n: i64) -> Fallible<i64> {
    charge(key)?;
    let buckets = u64::try_from(n).ok().filter(|&n| n > 0);
    let buckets = buckets.ok_or_else(|| fault(format!("hash_bucket: {n} is not a number of buckets")))?;
    let digest = Sha256::digest(key.as_bytes());
    let hash = digest.iter().take(8).fold(0_u64, |hash, &byte| hash << 8 | u64::from(byte));
    Ok((hash % buckets) as i64)
}

fn local(t: Timestamp, zone: &str) -> Fallible<ZonedDateTime> {
    t.in_tz(zone).map_err(|_| fault(format!("`{zone}` is not a time zone of the IANA database")))
}

/// Compiled patterns by their text, a few per thread. A memo and nothing else: it cannot change any verdict.
type Memo = std::thread::LocalKey<RefCell<HashMap<String, Regex>>>;

/// Most patterns in a [`Memo`]; scripts hold literals, so only one that builds patterns gets there.
const MAX_MEMO: usize = 128;

thread_local! {
    static GLOBS: RefCell<HashMap<String, Regex>> = RefCell::default();
    static REGEXES: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Whether `pattern` says so of a text.
fn fits(memo: &'static Memo, s: &str, pattern: &str, compile: fn(&str) -> Result<Regex, String>) -> Fallible<bool> {
    charge(s)?;
    budget::spend(PATTERN_COST).map_err(terminated)?;
    memo.with_borrow_mut(|memo| {
        if let Some(compiled) = memo.get(pattern) {
            return Ok(compiled.is_match(s));
        }
        if pattern.len() > MAX_PATTERN {
            return Err(fault(format!("a pattern is longer than {MAX_PATTERN} bytes")));
        }
        let compiled = compile(pattern).map_err(|error| fault(format!("`{pattern}` is not a pattern: {error}")))?;
        if memo.len() == MAX_MEMO {
            memo.clear();
        }
        Ok(memo.entry(pattern.to_owned()).or_insert(compiled).is_match(s))
    })
}

fn compile_regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map_err(|error| error.to_string())
}
