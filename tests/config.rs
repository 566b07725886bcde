//! Configuration files as they are found on boxes.

#[path = "support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::time::Duration;

use maestro::config::paths::Surroundings;
use maestro::config::{self, Config, Problem, Severity, Size, Source, Sources};
use maestro::contract::Role;
use maestro::{bridge, broker};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(name)
}

fn loaded(file: &Path) -> (Config, Vec<Problem>) {
    let around = Surroundings::default();
    let loaded = config::read(&Sources::Only(file.to_owned()), &around).settle(&around, None);
    if loaded.problems.iter().all(|problem| problem.severity == Severity::Warning) {
        assert_eq!(loaded.source, Source::Files);
    }
    (loaded.config, loaded.problems)
}

/// `line:column path: message` of each.
fn told(problems: &[Problem]) -> Vec<String> {
    let short = |p: &Problem| format!("{}:{} {} {}", p.line, p.column, p.path, p.message);
    problems.iter().map(short).collect()
}

#[test]
fn every_example_is_understood() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(dir).expect("examples").map(|file| file.expect("a file").path());
    let files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|ext| ext == "yaml")).collect();
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(told(&loaded(&file).1), [""; 0], "{}", file.display());
    }
}

#[test]
fn everything_our_own_form_can_say_is_understood() {
    let (config, problems) = loaded(&fixture("own.yaml"));
    assert_eq!(told(&problems), [""; 0]);
    assert_eq!(config.gateway_id, "GW-0001");
    assert_eq!(config.state_dir, Path::new("/srv/maestro/state"));

    let broker = &config.broker;
    let roles: Vec<Role> = broker.listeners.iter().map(|listener| listener.max_role).collect();
    assert_eq!(roles, [Role::Admin, Role::Observer, Role::Operator, Role::App]);
    assert_eq!(broker.acl.len(), 2);
    assert_eq!(broker.limits.max_packet_size, Size(256 << 10));
    assert_eq!(broker.limits.max_session_expiry, Duration::from_secs(36 * 3600));
    assert_eq!(broker.limits.max_queued_total_size, Size(8 << 20));

    let [cloud, test] = &config.bridges[..] else { panic!("{:?}", config.bridges) };
    assert_eq!(cloud.url.to_string(), "mqtts://cloud.example:8883");
    assert_eq!(cloud.rules.len(), 3);
    assert_eq!(cloud.rules[2].direction, bridge::config::Direction::In);
    assert_eq!(cloud.backoff.max, Duration::from_secs(120));
    assert_eq!((test.url.tls, test.url.port, test.defaults), (false, 11_883, false));
    assert!(!format!("{test:?}").contains("not a secret"), "a password is never shown");

    assert_eq!(config.stats.cpu.interval, Duration::from_secs(1));
    assert!(!config.stats.temperature.on);
    assert_eq!(config.stats.batch.max_count, 20);
}

#[test]
fn five_mistakes_are_five_places() {
    let (_, problems) = loaded(&fixture("five-mistakes.yaml"));
    assert_eq!(
        told(&problems),
        [
            "3:3 /broker/listners not a setting",
            "6:22 /broker/limits/max_connections a whole number is expected here, not `many`",
            "7:19 /broker/limits/max_inflight a whole number from 0 to 65535 is expected here, not \
             `70000`",
            "9:5 /bridges/0 `cert` and `key` go together",
            "12:1  `gateway_id` is set twice: first in line 1",
        ]
    );
    assert_eq!(problems[0].hint.as_deref(), Some("`listeners`?"));
}

#[test]
fn a_file_of_the_original_loads_with_its_meaning_and_one_warning_for_each_thing_it_cannot_do() {
    let (config, problems) = loaded(&fixture("original-gateway.config"));
    assert_eq!(config.gateway_id, "FIELD000042");
    let stats = &config.stats;
    assert_eq!(stats.memory.interval, Duration::from_secs(20));
    assert_eq!(stats.memory.name.as_deref(), Some("mem"));
    assert_eq!(stats.disk.interval, Duration::from_millis(400));
    assert_eq!(stats.disks.ignore_mountpoints, ["/boot"]);
    assert_eq!((stats.batch.on, stats.batch.max_count, stats.batch.max_buffers), (true, 12, 40));
    assert_eq!(stats.batch.max_age, Duration::from_secs(90));
    assert!(config.bridges.is_empty());

    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/unixLogSocket",
            "/sysLogSocket",
            "/httpUnixSocket",
            "/linuxKernelLog",
            "/processes",
            "/var_defs",
            "/platform_readers",
            "/static_file_generators",
            "/network",
            "/devicedb_conn_config",
            "/sys_stats/disk_stats/every",
            "/sys_stats/disk_stats/ignore_partitions_regex",
            "/symphony",
            "/time_server",
            "/mdns",
            "/watchdog",
            "/gateway_capabilities",
            "/targets",
            "/container_templates",
            "/jobs",
            "/stats",
            "/strayed",
        ]
    );
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    let symphony = problems.iter().find(|problem| problem.path == "/symphony").unwrap();
    assert!(symphony.message.contains("`bridges`"), "{symphony}");
}

#[test]
fn a_file_with_nothing_of_our_own_is_the_originals() {
    let (config, problems) = loaded(&fixture("original-network.config"));
    let around = Surroundings::default();
    assert_eq!(config, around.defaults());
    assert_eq!(
        told(&problems),
        [
            "2:1 /network not built yet; it has no effect",
            "8:1 /targets not built yet; it has no effect",
            "10:1 /someday not a setting",
        ]
    );
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
}

#[test]
fn an_original_file_with_a_section_of_ours_is_strict_in_that_section_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("maestro.config");
    let text = "stray: 1\nclientId: A1\nbroker:\n  lisners: []\nconfig_end: true\n";
    std::fs::write(&file, text).unwrap();
    let (_, problems) = loaded(&file);
    let severities: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.severity)).collect();
    assert_eq!(severities, [("/stray", Severity::Warning), ("/broker/lisners", Severity::Error)]);
}

/// The files of the original itself, which are not ours to keep here.
#[test]
fn the_originals_own_files_load_with_warnings_for_what_is_replaced_or_not_built() {
    let Some(dir) = std::env::var_os("MAESTRO_ORIGINAL_CONFIGS") else {
        return skip::skip("needs MAESTRO_ORIGINAL_CONFIGS=dir");
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (config, problems) = loaded(&file);
        for problem in &problems {
            println!("{problem}");
            assert_eq!(problem.severity, Severity::Warning, "{problem}");
            let expected = ["not built yet", "replaced by", "not needed", "did nothing in 2.7"];
            assert!(expected.iter().any(|e| problem.message.contains(e)), "{problem}");
        }
        assert!(!problems.is_empty(), "{}", file.display());
        let default = broker::config::Config::new(
            "/run/maestro/mqtt.sock".into(),
            Some("/etc/maestro/users".into()),
        );
        assert_eq!(config.broker, default);
    }
}

#[test]
fn two_full_queues_fit_into_the_total_unless_the_file_says_otherwise() {
    let dir = tempfile::tempdir().expect("a directory");
    let total = |limits: &str| {
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, format!("broker:\n  limits: {{{limits}}}\n")).expect("written");
        loaded(&path).0.broker.limits.max_queued_total_size
    };
    assert_eq!(total("max_queued_size: 1MiB"), Size(64 << 20));
    assert_eq!(total("max_queued_size: 1GiB"), Size(2 << 30));
    assert_eq!(total("max_queued_size: 1GiB, max_queued_total_size: 8MiB"), Size(8 << 20));
}
