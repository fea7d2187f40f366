//! `fanfare schema`.

use std::process::ExitCode;

use super::{ConfigArgs, print};
use crate::config::{self, Secrets};

/// Prints the JSON Schema of a configuration, with the names that the one at hand declares if it has no error.
pub(super) fn schema(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let known = config::load(&args.config, Secrets::Overlook).into_config().ok();
    print(&format!("{:#}\n", config::json_schema(known.as_ref())))?;
    Ok(ExitCode::SUCCESS)
}
