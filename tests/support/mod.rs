//! What scenario tests share.
//!
//! | file | what it gives |
//! |---|---|
//! | `daemon` | the built binary in a directory of its own, killed on drop, its stderr kept |
//! | `client` | a blocking MQTT 5 client on a codec that is not ours: reason codes as numbers |
//! | `watch` | subscribes to everything and holds every publish against the contract |
//! | `peers` | real programs from `target/peers/bin`, else `PATH`: mosquitto_pub, nft, .. |
//! | `mosquitto` | a real broker, plain or with TLS and client certificates |
//! | `certificates` | an authority of our own for those |
//! | `net` | hosts in network namespaces, links between them, a silent cut |
//! | `ports` | numbers to listen on, which no test beside gets
//! | `skip` | how a test says by name that it cannot run here |
//! | `long` | how often to repeat, short or long |
//! | `clock`, `process` | the two things a test takes from the system |

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod contract_check;
pub(crate) mod daemon;
pub(crate) mod long;
pub(crate) mod mosquitto;
pub(crate) mod net;
pub(crate) mod peers;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod skip;
pub(crate) mod watch;
