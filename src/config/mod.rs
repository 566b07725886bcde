//! The configuration: files, drop-ins, defaults.

/// The effective configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {}
