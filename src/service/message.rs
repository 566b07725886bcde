//! How the box and its parts are: `status` and `status/<subsystem>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Stamp;
use crate::contract;

/// The state of a subsystem, and of the box.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not meant to work here; the cause says why.
    Off,
    /// Everything works.
    Ok,
    /// It was built and has not said how it is.
    Starting,
    /// Works in part.
    Degraded,
    /// Ended by error or panic, and waits to be rebuilt; or it was given up.
    Failed,
}

/// One subsystem, on `status/<subsystem>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SubsystemStatus {
    /// How it is.
    pub state: State,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why it is not ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<contract::Error>,
    /// Why it last was not ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cause: Option<contract::Error>,
    /// Times it was rebuilt since the daemon started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// The box in one line, on `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Status {
    /// The worst of its subsystems.
    pub state: State,
    /// Who is not ok, and the code of its cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_ok: BTreeMap<String, String>,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
