//! The messages of `topics/system.toml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::Role;
use crate::service::Stamp;

/// What the box is: `state/system/facts`, and the answer of `cmd/system/facts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// The kernel's hostname.
    pub hostname: String,
    /// The board or computer, as its maker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The hardware's name for programs: `aarch64`.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution, as it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The processor, where the kernel has a name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Processors online.
    pub processors: u32,
    /// Usable RAM.
    pub memory_bytes: u64,
    /// The version of this daemon.
    pub maestro: String,
    /// The kernel's id of this boot, in full; absent where the kernel has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When the kernel started, by the clock as it is now, to the second.
    pub booted: String,
    /// Seconds since then; in answers only, as it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// When.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// The answer of `cmd/system/ping`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// Always true.
    pub pong: bool,
}

/// The answer of `cmd/system/whoami`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Whoami {
    /// Who the caller is to the daemon: `admin:root`, `operator:alice`, `app:thermo`, `bridge:cloud`.
    pub principal: String,
    /// What it may do.
    pub role: Role,
    /// The kernel's user id, where the transport tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The app whose `app/<name>/#` is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// Arguments of `cmd/system/reboot` and `cmd/system/shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RebootArgs {
    /// Why; told on `event/system/box/..` and kept in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long to wait before: `30s`, at most `5m`. At once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
}

/// The result of `cmd/system/reboot` and `cmd/system/shutdown`, told after the next boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rebooted {
    /// The boot that was ended, 8 hex.
    pub boot_before: String,
    /// The boot that followed, 8 hex; absent in the answer of a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_after: Option<String>,
}

/// The box is about to end: `event/system/box/reboot` and `event/system/box/shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// Who asked for it.
    pub from: String,
    /// Why, in the words of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command.
    pub id: String,
    /// When.
    #[serde(flatten)]
    pub stamp: Stamp,
}
