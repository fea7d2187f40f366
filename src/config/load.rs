//! Reads the main file and all that it includes, as one set. The only place that opens configuration files.

use std::path::Path;

use super::{Config, Diagnostics};

/// What was read: the configuration, unless a fault kept it from being one, and all that was found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration; `None` when there are errors.
    pub config: Option<Config>,
    /// What was found, and the sources.
    pub diagnostics: Diagnostics,
}

/// SKELETON
#[must_use]
pub fn load(_path: &Path) -> Loaded {
    Loaded { config: None, diagnostics: Diagnostics::default() }
}
