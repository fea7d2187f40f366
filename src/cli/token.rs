//! `fanfare token`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{ConfigArgs, faulty, print};
use crate::auth::{MintError, mint};
use crate::config::{self, Config, Issuer, Secrets, Verifier};
use crate::notification::parse_duration;

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Who the token is for: its claim `sub`
    #[arg(long, value_parser = parse_sub)]
    sub: String,
    /// Another claim; the value is JSON, or else a text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
    /// How long it is valid
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// The issuer's name, when several have a shared secret
    #[arg(long)]
    issuer: Option<String>,
}

fn parse_sub(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("is empty: no server takes a token for nobody".to_owned()) } else { Ok(text.to_owned()) }
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
    match name {
        "sub" => return Err("the claim `sub` is set by --sub".to_owned()),
        "exp" => return Err("the claim `exp` is set by --ttl".to_owned()),
        _ => {}
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Tokens count in whole seconds.
fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = parse_duration(text).map_err(|error| error.to_string())?;
    if ttl < Duration::from_secs(1) {
        return Err("is less than a second: no server would take the token".to_owned());
    }
    Ok(ttl)
}

/// Prints a token.
pub(super) fn token(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&args.config.config, Secrets::Overlook);
    let name = args.issuer.as_deref();
    let missing = loaded.missing_secret(name);
    let config = loaded.into_config().map_err(|diagnostics| faulty(&diagnostics))?;
    let issuer = issuer(&config, name).map_err(|error| {
        if missing.is_empty() { error } else { anyhow!("the secret to sign with cannot be had\n{missing}") }
    })?;
    let claims: Map<String, Value> = args.claims.iter().cloned().collect();
    let token = mint(issuer, &args.sub, claims, args.ttl, Timestamp::now())?;
    print(&format!("{token}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The issuer of that name, or the only one that can mint.
pub(super) fn issuer<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a Issuer> {
    if let Some(name) = name {
        return match config.issuers.get(name) {
            Some(issuer) => Ok(issuer),
            // It has a key that is not here, and with which nobody could sign.
            None if config.issuers.may_have(name) => Err(MintError::NoSecret.into()),
            None => bail!("no issuer `{name}` is configured"),
        };
    }
    let mut minting = config.issuers.values().filter(|issuer| matches!(issuer.verifier.value, Verifier::Secret(_)));
    match (minting.next(), minting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => bail!("no issuer with a shared secret is configured, and only such tokens can be minted here"),
        (Some(_), Some(_)) => bail!("several issuers have a shared secret: name one with --issuer"),
    }
}
