//! What this machine is: uname(2), os-release(5), device tree or DMI, `/proc/cpuinfo`.

use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, sysconf};

/// What does not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The board or computer, as its maker calls it.
    pub model: Option<String>,
    /// The hardware's name for programs, as uname(2): `aarch64`.
    pub machine: String,
    /// The kernel's release.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub os: Option<String>,
    /// The processor, as the kernel calls it.
    pub processor: Option<String>,
    /// Processors online.
    pub processors: u32,
}

/// Looks.
pub fn look() -> Machine {
    let uname = uname().ok();
    let text = |of: Option<&std::ffi::OsStr>| of.map(|s| s.to_string_lossy().into_owned());
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    Machine {
        model: model(Path::new("/")),
        machine: text(uname.as_ref().map(|u| u.machine())).unwrap_or_default(),
        kernel: text(uname.as_ref().map(|u| u.release())).unwrap_or_default(),
        os: os(Path::new("/")),
        processor: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text)),
        processors: online.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
    }
}

/// The device tree's `model`, else DMI's vendor and product.
fn model(root: &Path) -> Option<String> {
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path)).ok()?;
        let text = text.trim_matches(['\0', '\n', ' ']).to_owned();
        (!text.is_empty() && !text.starts_with("To be filled")).then_some(text)
    };
    let dmi = || {
        let product = read("sys/class/dmi/id/product_name")?;
        Some(match read("sys/class/dmi/id/sys_vendor") {
            Some(vendor) => format!("{vendor} {product}"),
            None => product,
        })
    };
    read("proc/device-tree/model").or_else(dmi)
}

fn os(root: &Path) -> Option<String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let text = read("etc/os-release").or_else(|| read("usr/lib/os-release"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// `model name` on x86 and 32-bit ARM, `Hardware` on old ARM kernels; 64-bit ARM says neither.
fn processor(cpuinfo: &str) -> Option<String> {
    let key = |wanted: &str| {
        let mut values = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let value = values.find(|(key, _)| key.trim() == wanted)?.1.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    key("model name").or_else(|| key("Hardware")).or_else(|| key("cpu model"))
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
    fn a_board_has_its_model_from_the_device_tree_and_a_computer_from_dmi() {
        let board = tempfile::tempdir().unwrap();
        put(board.path(), "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
        assert_eq!(model(board.path()).as_deref(), Some("Raspberry Pi 4 Model B Rev 1.4"));
        let computer = tempfile::tempdir().unwrap();
        put(computer.path(), "sys/class/dmi/id/product_name", "Edge 5000\n");
        put(computer.path(), "sys/class/dmi/id/sys_vendor", "Maker Inc.\n");
        assert_eq!(model(computer.path()).as_deref(), Some("Maker Inc. Edge 5000"));
        assert_eq!(model(Path::new("/no/such")), None);
    }

    #[test]
    fn the_system_is_called_as_it_calls_itself() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "usr/lib/os-release", "ID=x\nPRETTY_NAME=\"Some Linux 1.0 (first)\"\n");
        assert_eq!(os(root.path()).as_deref(), Some("Some Linux 1.0 (first)"));
    }

    #[test]
    fn processors_are_named_where_the_kernel_names_them() {
        let arm = "processor\t: 0\nmodel name\t: ARMv7 Processor rev 4 (v7l)\n";
        assert_eq!(processor(arm).as_deref(), Some("ARMv7 Processor rev 4 (v7l)"));
        assert_eq!(processor("processor\t: 0\nCPU part\t: 0xd08\n"), None);
    }

    #[test]
    fn this_machine_is_something() {
        let machine = look();
        assert!(!machine.machine.is_empty() && !machine.kernel.is_empty());
        assert!(machine.processors >= 1);
    }
}
