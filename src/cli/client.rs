//! What the client commands share: where the server is, and who asks.

use anyhow::{anyhow, bail};
use clap::Args;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::ConfigArgs;
use crate::config::{self, Config};

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

/// Who asks.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// A JSON Web Token
    #[arg(long, env = "FANFARE_TOKEN", hide_env_values = true, conflicts_with = "key")]
    token: Option<String>,
    /// An API key
    #[arg(long, env = "FANFARE_KEY", hide_env_values = true)]
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
    pub(super) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        self.credential.authorize(request)
    }
}

impl CredentialArgs {
    /// Adds the credential, if there is one.
    pub(super) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match self.token.as_ref().or(self.key.as_ref()) {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        }
    }
}

/// The admin listener's URL, without a slash at its end: the one that is given, or the configuration's.
pub(super) fn admin_url(given: Option<&str>, config: &ConfigArgs) -> anyhow::Result<String> {
    if let Some(url) = given {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Ok(format!("http://{}", loaded(config, "--admin")?.server.admin))
}

/// The configuration, as `option` does not say where the server is.
fn loaded(config: &ConfigArgs, option: &str) -> anyhow::Result<Config> {
    config::load(&config.config).into_config().map_err(|diagnostics| {
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
