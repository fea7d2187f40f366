//! `fanfare check --against`: the notifications of late through two configurations, and which outcomes change.

mod outcome;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{CredentialArgs, accepted, admin_url};
use super::config::kept_snapshot;
use super::{faulty, read_input};
use crate::config::{self, Secrets};
use crate::notification::{Draft, Notification};
use crate::snapshot::{Depth, Snapshot, compile};
use outcome::Outcome;
pub(super) use report::Replayed;

#[derive(Debug, Args)]
// A credential is for the server that is asked, and a file takes none.
#[command(
    mut_arg("token", |token| token.requires("against").conflicts_with("decisions")),
    mut_arg("key", |key| key.requires("against").conflicts_with("decisions"))
)]
pub(super) struct ReplayArgs {
    /// Another configuration, by its main file, or a revision that was kept, by as much of it as no other begins with:
    /// the notifications of late go through both, and what changes is printed
    #[arg(long, value_name = "PATH|REVISION")]
    against: Option<String>,
    /// How many notifications, of types that say `trace = true`
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_one(), requires = "against", conflicts_with = "decisions")]
    replay: usize,
    /// The admin listener that has them; the configuration's `server.admin` when absent
    #[arg(long, value_name = "URL", requires = "against", conflicts_with = "decisions")]
    admin: Option<String>,
    /// A file with the answer of `GET /v1/admin/decisions` instead, or - for standard input
    #[arg(long, value_name = "FILE", requires = "against")]
    decisions: Option<PathBuf>,
    #[command(flatten)]
    credential: CredentialArgs,
    /// Exit with status 1 when more than so many change, such as 5%
    #[arg(long, value_name = "SHARE", requires = "against", value_parser = share)]
    max_change: Option<f64>,
}

/// A notification as it was decided.
struct Sample {
    notification: Arc<Notification>,
    at: Timestamp,
}

impl ReplayArgs {
    /// Replays through `present`, whose main file is at `main`, and the other configuration, if one is named.
    pub(super) async fn replay(&self, present: &Snapshot, main: &Path) -> anyhow::Result<Option<Replayed>> {
        let Some(against) = &self.against else { return Ok(None) };
        let (other, gone) = compiled(against, present, main)?;
        let samples = samples(&self.answer(present).await?)?;
        if samples.is_empty() {
            bail!("there is nothing to replay: no notification was kept, which takes `trace = true` in its type");
        }
        let mut replayed = Replayed::new(against, samples.len(), self.max_change);
        for Sample { notification, at } in &samples {
            let (mut before, after) = (Outcome::of(&other, notification, *at), Outcome::of(present, notification, *at));
            if let Some(folder) = &gone {
                before.rename(&folder.display().to_string(), against);
            }
            replayed.add(notification, *at, before, after);
        }
        Ok(Some(replayed))
    }

    async fn answer(&self, present: &Snapshot) -> anyhow::Result<Value> {
        let body = match &self.decisions {
            Some(file) => read_input(file)?,
            None => {
                let admin = admin_url(self.admin.as_deref(), || anyhow::Ok(present.config.server.admin))?;
                let url = format!("{admin}/v1/admin/decisions?kept=true&limit={}", self.replay);
                let request = self.credential.authorize(reqwest::Client::new().get(&url))?;
                let response = request.send().await.with_context(|| format!("no answer from {admin}"))?;
                accepted(response).await?.bytes().await?.to_vec()
            }
        };
        serde_json::from_slice(&body).context("the decisions are not JSON")
    }
}

/// The configuration whose main file is `against`, or where there is no such file, the revision that was kept. With the
/// folder that places in it are told by.
fn compiled(against: &str, present: &Snapshot, main: &Path) -> anyhow::Result<(Snapshot, Option<PathBuf>)> {
    let path = Path::new(against);
    if path.is_file() {
        let compiled = compile(config::load(path, Secrets::Overlook), Depth::Serve);
        let diagnostics = compiled.diagnostics;
        let snapshot = compiled.snapshot.or(compiled.failing).ok_or_else(|| faulty(&diagnostics))?;
        return Ok((snapshot, None));
    }
    let kept = match &present.config.paths.generations {
        Some(folder) => kept_snapshot(folder, against, main),
        None => Err(anyhow!("{} keeps no revisions, which takes `paths.generations`", main.display())),
    };
    let snapshot = kept.with_context(|| format!("there is no file `{against}`"))?;
    // It was laid out and compiled in a folder that is gone.
    let folder = snapshot.sources.get(0).and_then(|main| main.path.parent()).map(Path::to_path_buf);
    Ok((snapshot, folder))
}

/// The notifications that an answer of the admin listener holds.
fn samples(answer: &Value) -> anyhow::Result<Vec<Sample>> {
    let decisions = answer["decisions"].as_array().context("the decisions have no `decisions`")?;
    let kept = decisions.iter().filter(|decision| decision["notification"].is_object());
    kept.map(|decision| {
        let at = decision["at"].as_str().and_then(|at| at.parse().ok()).context("a decision has no time")?;
        let draft = Draft::from_value(decision["notification"].clone());
        let draft = draft.ok().context("a decision's notification is none")?;
        let id = decision["id"].as_str().and_then(|id| id.parse().ok()).context("a decision has no id")?;
        Ok(Sample { notification: Arc::new(Notification { id, ..Notification::accept(draft, at) }), at })
    })
    .collect()
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A share such as `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / unit);
    share.ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "is no share such as 5%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_number() {
        assert_eq!((share("5%"), share("0.05")), (Ok(0.05), Ok(0.05)));
        for text in ["-1%", "101%", "x", "", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
