//! Where things are: the one search order that daemon and command line share.
//!
//! | | root | anyone else |
//! |---|---|---|
//! | runtime | `/run/maestro` | `$XDG_RUNTIME_DIR/maestro`, else `/tmp/maestro-<uid>` |
//! | state | `/var/lib/maestro` | `$XDG_STATE_HOME/maestro`, else `~/.local/state/maestro` |
//! | file | `/etc/maestro/maestro.yaml`, `.config` | `$XDG_CONFIG_HOME/maestro/..`, else as root |
//!
//! systemd's `$RUNTIME_DIRECTORY` and `$STATE_DIRECTORY` (systemd.exec(5)) come before all of it, so
//! that a unit with `User=` needs no setting. XDG variables count only when absolute (XDG Base
//! Directory Specification 0.8).

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Config;

/// What of the process decides where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The effective uid.
    pub uid: u32,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub xdg_config: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`, the first of them.
    pub unit_runtime: Option<PathBuf>,
    /// `$STATE_DIRECTORY`, the first of them.
    pub unit_state: Option<PathBuf>,
}

/// The files of one place, lowest layer first: `below/*.yaml`, the first of `main` there is,
/// `above/*.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Drop-ins that the main file overrides.
    pub below: PathBuf,
    /// Names of the main file; the first that exists is it.
    pub main: [PathBuf; 2],
    /// Drop-ins that override the main file.
    pub above: PathBuf,
}

impl Surroundings {
    /// What holds for this process.
    pub fn of_process() -> Surroundings {
        let path = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let first = |name: &str| {
            let value = std::env::var(name).ok()?;
            let path = PathBuf::from(value.split(':').next()?);
            path.is_absolute().then_some(path)
        };
        Surroundings {
            uid: nix::unistd::geteuid().as_raw(),
            home: path("HOME"),
            xdg_runtime: path("XDG_RUNTIME_DIR"),
            xdg_state: path("XDG_STATE_HOME"),
            xdg_config: path("XDG_CONFIG_HOME"),
            unit_runtime: first("RUNTIME_DIRECTORY"),
            unit_state: first("STATE_DIRECTORY"),
        }
    }

    /// What need not survive: the Unix socket.
    pub fn runtime_dir(&self) -> PathBuf {
        if let Some(unit) = &self.unit_runtime {
            return unit.clone();
        }
        match (&self.xdg_runtime, self.uid) {
            (_, 0) => "/run/maestro".into(),
            (Some(xdg), _) => xdg.join("maestro"),
            (None, uid) => format!("/tmp/maestro-{uid}").into(),
        }
    }

    /// What must survive a restart.
    pub fn state_dir(&self) -> PathBuf {
        if let Some(unit) = &self.unit_state {
            return unit.clone();
        }
        match (&self.xdg_state, &self.home, self.uid) {
            (_, _, 0) => "/var/lib/maestro".into(),
            (Some(xdg), _, _) => xdg.join("maestro"),
            (None, Some(home), _) => home.join(".local/state/maestro"),
            (None, None, uid) => format!("/tmp/maestro-{uid}/state").into(),
        }
    }

    /// The user's own directory for configuration; `None` for root, whose is /etc/maestro.
    fn own_config_dir(&self) -> Option<PathBuf> {
        if self.uid == 0 {
            return None;
        }
        let own = self.xdg_config.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(own.join("maestro"))
    }

    /// Where configuration files may be, the first place first.
    pub fn places(&self) -> Vec<Places> {
        let own = self.own_config_dir().map(|dir| Places::new(dir.join("conf.d.below"), &dir));
        let etc = Places::new("/usr/lib/maestro/conf.d".into(), Path::new("/etc/maestro"));
        own.into_iter().chain([etc]).collect()
    }

    /// The password file when none is configured; need not exist.
    pub fn users_file(&self) -> PathBuf {
        self.own_config_dir().unwrap_or_else(|| "/etc/maestro".into()).join("users")
    }

    /// Where the command line looks for a daemon's socket, in this order.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let mut dirs = vec![self.runtime_dir()];
        if self.uid != 0 {
            dirs.push(format!("/tmp/maestro-{}", self.uid).into());
            dirs.push("/run/maestro".into());
        }
        dirs.dedup();
        dirs.into_iter().map(|dir| dir.join("mqtt.sock")).collect()
    }

    /// The first of [`Surroundings::sockets`] that is a socket in a directory of ours or of root's: a
    /// socket that another user put into /tmp is not the daemon.
    pub fn find_socket(&self) -> Option<PathBuf> {
        self.sockets().into_iter().find(|socket| {
            let is_socket = socket.metadata().is_ok_and(|m| m.file_type().is_socket());
            let dir = socket.parent().and_then(|dir| dir.symlink_metadata().ok());
            is_socket && dir.is_some_and(|dir| self.trusts(&dir))
        })
    }

    fn trusts(&self, dir: &Metadata) -> bool {
        dir.is_dir() && (dir.uid() == self.uid || dir.uid() == 0) && dir.mode() & 0o022 == 0
    }

    /// What holds without a file.
    pub fn defaults(&self) -> Config {
        let runtime_dir = self.runtime_dir();
        let socket = runtime_dir.join("mqtt.sock");
        Config {
            state_dir: self.state_dir(),
            broker: crate::broker::config::Config::new(socket, Some(self.users_file())),
            runtime_dir,
            ..Config::default()
        }
    }

    /// Makes the runtime directory, or checks the one that is there: it must be a directory of ours
    /// that nobody else can write to. Root's may be entered by all, for its socket; a user's by nobody.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to someone else.
    pub fn claim_runtime_dir(&self, dir: &Path) -> io::Result<()> {
        let mode = if self.uid == 0 { 0o755 } else { 0o700 };
        if let Some(parent) = dir.parent() {
            DirBuilder::new().recursive(true).mode(mode).create(parent)?;
        }
        match DirBuilder::new().mode(mode).create(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = dir.symlink_metadata()?;
        let refuse = |what: &str| Err(io::Error::other(format!("{} {what}", dir.display())));
        if !found.is_dir() {
            return refuse("is not a directory");
        }
        if found.uid() != self.uid {
            return refuse("belongs to another user");
        }
        if found.mode() & 0o022 != 0 {
            let tightened = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir, tightened)?; // it is ours: nobody else should write there
        }
        Ok(())
    }
}

impl Places {
    /// The usual names: drop-ins of the maker in `below`, the box's in `<dir>/conf.d`.
    pub fn new(below: PathBuf, dir: &Path) -> Places {
        Places {
            below,
            main: [dir.join("maestro.yaml"), dir.join("maestro.config")],
            above: dir.join("conf.d"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Surroundings {
        Surroundings { uid: 1000, home: Some("/home/ann".into()), ..Surroundings::default() }
    }

    #[test]
    fn root_uses_the_systems_directories_whatever_its_environment_says() {
        let root = Surroundings {
            home: Some("/root".into()),
            xdg_runtime: Some("/run/user/0".into()),
            xdg_state: Some("/root/state".into()),
            ..Surroundings::default()
        };
        let config = root.defaults();
        assert_eq!(config, Config::default());
        assert_eq!(root.sockets(), [Path::new("/run/maestro/mqtt.sock")]);
        assert_eq!(root.places().len(), 1);
    }

    #[test]
    fn a_user_gets_directories_of_its_own() {
        let bare = user();
        assert_eq!(bare.runtime_dir(), Path::new("/tmp/maestro-1000"));
        assert_eq!(bare.state_dir(), Path::new("/home/ann/.local/state/maestro"));
        let session = Surroundings {
            xdg_runtime: Some("/run/user/1000".into()),
            xdg_state: Some("/home/ann/state".into()),
            ..user()
        };
        assert_eq!(session.runtime_dir(), Path::new("/run/user/1000/maestro"));
        assert_eq!(session.state_dir(), Path::new("/home/ann/state/maestro"));
    }

    #[test]
    fn the_command_line_looks_at_the_users_daemon_first_and_the_systems_last() {
        let session = Surroundings { xdg_runtime: Some("/run/user/1000".into()), ..user() };
        let sockets: Vec<_> = session.sockets();
        assert_eq!(
            sockets,
            [
                Path::new("/run/user/1000/maestro/mqtt.sock"),
                Path::new("/tmp/maestro-1000/mqtt.sock"),
                Path::new("/run/maestro/mqtt.sock"),
            ]
        );
    }

    #[test]
    fn a_units_directories_come_first() {
        let unit = Surroundings {
            unit_runtime: Some("/run/maestro".into()),
            unit_state: Some("/var/lib/maestro".into()),
            ..user()
        };
        assert_eq!(unit.runtime_dir(), Path::new("/run/maestro"));
        assert_eq!(unit.state_dir(), Path::new("/var/lib/maestro"));
    }

    #[test]
    fn a_runtime_directory_is_made_private_and_one_of_another_kind_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let me = Surroundings { uid: nix::unistd::geteuid().as_raw(), ..Surroundings::default() };
        let dir = tmp.path().join("new/maestro");
        me.claim_runtime_dir(&dir).unwrap();
        me.claim_runtime_dir(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o022, 0);

        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        assert!(me.claim_runtime_dir(&link).is_err(), "a link may lead anywhere");
        let someone = Surroundings { uid: me.uid + 1, ..Surroundings::default() };
        let error = someone.claim_runtime_dir(&dir).unwrap_err();
        assert!(error.to_string().ends_with("belongs to another user"), "{error}");
    }
}
