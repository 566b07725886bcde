//! What the daemon says of itself: `info`.

use serde::{Deserialize, Serialize};

use crate::service::Stamp;

/// Who this box is and what runs on it, on `info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Info {
    /// The box's name in the fleet.
    pub gateway_id: String,
    /// The version of maestro.
    pub version: String,
    /// What this build can do.
    pub features: Vec<String>,
    /// The first level of the topic tree.
    pub root: String,
    /// The process.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started: String,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}
