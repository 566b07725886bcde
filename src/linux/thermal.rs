//! `/sys/class/thermal` and `/sys/class/hwmon`: temperatures.
//! Documentation/driver-api/thermal/sysfs-api.rst, Documentation/hwmon/sysfs-interface.rst.

use std::fs;
use std::path::Path;

use super::proc::{Buffer, ProcFile, number};

/// The most sensors that are read; a board has a handful.
const LIMIT: usize = 32;

/// One sensor, its file kept open.
#[derive(Debug)]
pub struct Sensor {
    /// What it measures, as the driver calls it: `cpu-thermal`, `nvme Composite`. Unique: a second one of
    /// the same name is `acpitz.2`.
    pub name: String,
    file: ProcFile,
}

/// The sensors of this machine; none in most virtual ones. Thermal zones first; of hwmon only what is
/// not such a zone again. `sys` is `/sys`.
pub fn sensors(sys: &Path) -> Vec<Sensor> {
    let mut found: Vec<Sensor> = Vec::new();
    for zone in numbered(&sys.join("class/thermal"), "thermal_zone") {
        let name = word(&zone.join("type")).unwrap_or_else(|| "zone".to_owned());
        add(&mut found, name, &zone.join("temp"));
    }
    let zones = found.len();
    for chip in numbered(&sys.join("class/hwmon"), "hwmon") {
        let driver = word(&chip.join("name")).unwrap_or_else(|| "hwmon".to_owned());
        let same = |zone: &Sensor| zone.name.replace('-', "_") == driver; // hwmon has no dashes
        if found[..zones].iter().any(same) {
            continue;
        }
        for input in 1..=16 {
            let path = chip.join(format!("temp{input}_input"));
            if path.exists() {
                let name = match word(&chip.join(format!("temp{input}_label"))) {
                    Some(label) => format!("{driver} {label}"),
                    None => driver.clone(),
                };
                add(&mut found, name, &path);
            }
        }
    }
    found
}

impl Sensor {
    /// Degrees Celsius; `None` while the driver does not answer (the chip sleeps, the link is down) or
    /// answers what no sensor can measure.
    pub fn read(&self, buffer: &mut Buffer) -> Option<f64> {
        celsius(self.file.read_head(buffer).ok()?)
    }
}

/// `-5500\n`, in thousandths of a degree.
pub fn celsius(bytes: &[u8]) -> Option<f64> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let (digits, sign) = match text {
        [b'-', digits @ ..] => (digits, -1.0),
        digits => (digits, 1.0),
    };
    let degrees = sign * number(digits)? as f64 / 1000.0;
    (-273.15..=1000.0).contains(&degrees).then_some(degrees)
}

fn add(found: &mut Vec<Sensor>, name: String, path: &Path) {
    if found.len() >= LIMIT {
        return;
    }
    let Ok(file) = ProcFile::open(path) else { return };
    let alike = |other: &&Sensor| other.name.split('.').next() == name.split('.').next();
    let name = match found.iter().filter(alike).count() {
        0 => name,
        before => format!("{name}.{}", before + 1),
    };
    found.push(Sensor { name, file });
}

/// `prefix0`, `prefix1`, .. in the order of their numbers.
fn numbered(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u64, _)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let index = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((index, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty() && text.len() <= 64).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn zones_and_chips_each_once_under_names_of_their_own() {
        let sys = tempfile::tempdir().unwrap();
        let root = sys.path();
        put(root, "class/thermal/thermal_zone0/type", "cpu-thermal\n");
        put(root, "class/thermal/thermal_zone0/temp", "48312\n");
        put(root, "class/thermal/thermal_zone10/type", "acpitz\n");
        put(root, "class/thermal/thermal_zone10/temp", "-5500\n");
        put(root, "class/thermal/thermal_zone2/type", "acpitz\n");
        put(root, "class/thermal/thermal_zone2/temp", "30000\n");
        put(root, "class/thermal/cooling_device0/type", "fan\n");
        put(root, "class/hwmon/hwmon0/name", "cpu_thermal\n");
        put(root, "class/hwmon/hwmon0/temp1_input", "48312\n");
        put(root, "class/hwmon/hwmon1/name", "nvme\n");
        put(root, "class/hwmon/hwmon1/temp1_input", "39850\n");
        put(root, "class/hwmon/hwmon1/temp1_label", "Composite\n");
        let sensors = sensors(root);
        let seen: Vec<_> =
            sensors.iter().map(|s| (s.name.as_str(), s.read(&mut Buffer::default()))).collect();
        let expected = [
            ("cpu-thermal", Some(48.312)),
            ("acpitz", Some(30.0)),
            ("acpitz.2", Some(-5.5)),
            ("nvme Composite", Some(39.85)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_machine_without_sensors_has_none() {
        assert!(sensors(Path::new("/no/such/sys")).is_empty());
    }

    #[test]
    fn what_no_sensor_can_measure_is_no_temperature() {
        for nonsense in [&b""[..], b"-", b"warm\n", b"-300000\n", b"99999999999\n"] {
            assert_eq!(celsius(nonsense), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = celsius(&bytes);
        }
    }
}
