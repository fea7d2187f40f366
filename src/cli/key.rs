//! `fanfare key`.

use std::process::ExitCode;

use clap::Args;

use super::print;
use crate::auth::generate_key;
use crate::notification::Name;

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The key's name, as in [auth.keys.NAME]
    name: Name,
}

/// Prints a new key and how to configure its hash. Nothing is stored.
pub(super) fn key(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let key = generate_key(&args.name);
    let variable = format!("{}_SHA256", args.name.as_str().to_ascii_uppercase().replace(['-', '.'], "_"));
    print(&format!(
        "key:    {}\nsha256: {}\n\nGive the key to the producer; it is shown only now. Configure its hash:\n\n  \
         [auth.keys.{}]\n  sha256 = {{ env = \"{variable}\" }}\n",
        key.text.expose(),
        key.sha256,
        args.name,
    ))?;
    Ok(ExitCode::SUCCESS)
}
