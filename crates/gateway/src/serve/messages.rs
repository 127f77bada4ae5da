//! Messages for whoever operates the gate, on stderr. They carry ids and never a payload.

use crate::config::Config;
use anyhow::{Context, Result, anyhow};
use tracing_subscriber::EnvFilter;

/// The variable of the environment that comes before the configuration's filter.
const VARIABLE: &str = "COUNTERSIGN_LOG";

/// Begins to print messages.
///
/// # Errors
/// The filter is none.
pub fn begin(config: &Config) -> Result<()> {
    let text = crate::config::variable(VARIABLE).unwrap_or_else(|| config.filter.clone());
    let filter = EnvFilter::try_new(&text).with_context(|| {
        format!("expected a filter such as `info` or `warn,countersign_desk=debug`, found `{text}`")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun =
        if config.json_messages { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    begun.map_err(|error| anyhow!("messages cannot be printed: {error}"))
}
