//! What the client commands share: where the server is, and who asks.

use std::env::VarError;
use std::net::SocketAddr;

use anyhow::{anyhow, bail};
use clap::Args;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::{ConfigArgs, Misused};
use crate::config::{self, Config, Secrets};

/// The environment's word for `--token`.
const TOKEN: &str = "FANFARE_TOKEN";
/// The environment's word for `--key`.
const KEY: &str = "FANFARE_KEY";

/// Where the server is, and who asks.
#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The server; the configuration's `server.listen` when absent
    #[arg(long, env = "FANFARE_URL")]
    url: Option<String>,
    #[command(flatten)]
    credential: CredentialArgs,
}

/// Who asks. What is given wins over the environment, which is only looked at by a call that uses it: to the parser of
/// arguments two variables would be two options.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// A JSON Web Token; by default `FANFARE_TOKEN` of the environment
    #[arg(long, conflicts_with = "key")]
    token: Option<String>,
    /// An API key; by default `FANFARE_KEY` of the environment
    #[arg(long)]
    key: Option<String>,
}

impl ClientArgs {
    /// The server's URL, without a slash at its end.
    pub(super) fn url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        Ok(format!("http://{}", loaded(&self.config, "--url")?.server.listen))
    }

    /// Adds the credential, if there is one.
    pub(super) fn authorize(&self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        self.credential.authorize(request)
    }
}

impl CredentialArgs {
    /// Adds the credential, if there is one.
    pub(super) fn authorize(&self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        Ok(match self.credential()? {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        })
    }

    fn credential(&self) -> anyhow::Result<Option<String>> {
        if let Some(given) = self.token.as_ref().or(self.key.as_ref()) {
            return Ok(Some(given.clone()));
        }
        match (token_of_environment()?, key_of_environment()?) {
            (Some(_), Some(_)) => {
                let message = format!("{TOKEN} and {KEY} are both set: unset one, or give --token or --key");
                Err(Misused(message).into())
            }
            (token, key) => Ok(token.or(key)),
        }
    }
}

/// The token that the environment has.
pub(super) fn token_of_environment() -> anyhow::Result<Option<String>> {
    of_environment(TOKEN)
}

/// The API key that the environment has.
pub(super) fn key_of_environment() -> anyhow::Result<Option<String>> {
    of_environment(KEY)
}

/// A variable of the environment. An empty one is as good as none.
fn of_environment(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Misused(format!("{name} is not UTF-8")).into()),
    }
}

/// The admin listener's URL, without a slash at its end: the one that is given, or the configuration's, which is only
/// asked for then.
pub(super) fn admin_url<E>(
    given: Option<&str>,
    configured: impl FnOnce() -> Result<SocketAddr, E>,
) -> Result<String, E> {
    match given {
        Some(url) => Ok(url.trim_end_matches('/').to_owned()),
        None => Ok(format!("http://{}", configured()?)),
    }
}

/// The admin listener's address in the configuration, as `--admin` does not say where it is.
pub(super) fn configured_admin(config: &ConfigArgs) -> anyhow::Result<SocketAddr> {
    Ok(loaded(config, "--admin")?.server.admin)
}

/// The configuration, as `option` does not say where the server is.
fn loaded(config: &ConfigArgs, option: &str) -> anyhow::Result<Config> {
    config::load(&config.config, Secrets::Overlook).into_config().map_err(|diagnostics| {
        anyhow!("no {option} is given, and {} has errors\n{diagnostics}", config.config.display())
    })
}

/// The response, unless the server refused: then the problem that it tells.
pub(super) async fn accepted(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    bail!(problem(status, &response.text().await.unwrap_or_default()))
}

/// What a refusal says, from its body.
pub(super) fn problem(status: StatusCode, body: &str) -> String {
    let Ok(problem) = serde_json::from_str::<serde_json::Value>(body) else { return format!("{status}: {body}") };
    let mut text = format!("{} {}", status.as_u16(), problem["detail"].as_str().unwrap_or_default());
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, detail) = (error["pointer"].as_str(), error["detail"].as_str());
        text.push_str(&format!("\n  {} {}", pointer.unwrap_or_default(), detail.unwrap_or_default()));
    }
    for why in problem["why"].as_array().into_iter().flatten().filter_map(|why| why.as_str()) {
        text.push_str(&format!("\n  {why}"));
    }
    text
}
