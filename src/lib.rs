//! maestro: one small daemon for a Linux gateway. Its embedded MQTT broker is its whole local API.
//!
//! ```text
//!   apps, mosquitto_sub, CLI          any MQTT cloud
//!          | unix, tcp, tls, ws            ^ | TLS
//!          v                               | v
//!   +--- broker ------------------------------------+   own thread, never waits for storage
//!   | listeners -> identity -> acl -> sessions,     |
//!   | retained, queues                              |
//!   +--^------^---------^----------^-----------^----+
//!      | bus  | gate    | bus      | bus       | bus
//!    stats  command   system     config     bridge      one task each, rebuilt when it fails
//!      |      |         |          |           |
//!    /proc  ledger   reboot(2)   files       TLS
//!             \_________ storage (one writer, group commit) _/
//! ```
//!
//! Arrows: `main -> {cli, daemon}`; `daemon` -> subsystems -> `{service, bus, topic, contract,
//! command, storage, linux}`. Subsystems meet on the bus only, with the topics a person can see.
//!
//! | room | what it owns |
//! |---|---|
//! | [`daemon`] | the composition root: what starts, in which order |
//! | [`service`] | the frame: machine, the one loop, scope, supervisor |
//! | [`bus`] | a subsystem's link to the broker |
//! | [`topic`] | topic names and filters as types |
//! | [`contract`] | `topics/*.toml` compiled in: classes, roles, schemas, errors |
//! | [`command`] | the gate every command passes, and the ledger of what became of it |
//! | [`storage`] | every table; the one writer |
//! | [`linux`] | the kernel's interfaces, one file each; the only unsafe |
//! | [`broker`] | MQTT 3.1.1 and 5.0 |
//! | [`bridge`], [`stats`], [`system`], [`config`] | the subsystems |

pub mod bridge;
pub mod broker;
pub mod bus;
pub mod cli;
pub mod command;
pub mod config;
pub mod contract;
pub mod daemon;
pub mod linux;
pub mod service;
pub mod stats;
pub mod storage;
pub mod system;
pub mod topic;
