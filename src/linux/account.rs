//! Names of users and groups from /etc/passwd and /etc/group (passwd(5), group(5)).
//!
//! The files are parsed by hand: a static binary has no name service switch. Users that only a
//! directory service knows are `uid-<n>`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What /etc/passwd and /etc/group say, read again when they change.
#[derive(Debug)]
pub struct Accounts {
    passwd: Watched,
    group: Watched,
    users: Vec<User>,
    groups: Vec<Group>,
}

/// One line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub login: String,
    /// Uid.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
}

/// One line of /etc/group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Gid.
    pub gid: u32,
    /// Logins that are in it beside those whose primary group it is.
    pub members: Vec<String>,
}

/// A file, and what it looked like when it was read.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Option<(u64, u64, i64, i64)>,
}

/// More than the largest such file of a gateway by far.
const LARGEST: u64 = 1 << 20;

impl Watched {
    /// The text if it is another than last time; empty when the file is gone.
    fn changed(&mut self) -> Option<String> {
        let meta = fs::metadata(&self.path).ok();
        let now = meta.as_ref().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        if now == self.seen && now.is_some() {
            return None;
        }
        self.seen = now;
        let text = meta.filter(|m| m.len() <= LARGEST).and_then(|_| read_lossy(&self.path).ok());
        Some(text.unwrap_or_default())
    }
}

fn read_lossy(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts::of("/etc/passwd", "/etc/group")
    }
}

impl Accounts {
    /// The accounts of two files; nothing is read before it is asked for.
    pub fn of(passwd: impl Into<PathBuf>, group: impl Into<PathBuf>) -> Accounts {
        let watched = |path| Watched { path, seen: None };
        Accounts {
            passwd: watched(passwd.into()),
            group: watched(group.into()),
            users: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Reads again what has changed.
    pub fn refresh(&mut self) {
        if let Some(text) = self.passwd.changed() {
            self.users = users(&text);
        }
        if let Some(text) = self.group.changed() {
            self.groups = groups(&text);
        }
    }

    /// The login of a uid, `uid-<n>` for one without.
    pub fn login(&self, uid: u32) -> String {
        match self.users.iter().find(|user| user.uid == uid) {
            Some(user) => user.login.clone(),
            None => format!("uid-{uid}"),
        }
    }

    /// The gid of a group.
    pub fn gid(&self, group: &str) -> Option<u32> {
        self.groups.iter().find(|found| found.name == group).map(|found| found.gid)
    }

    /// The groups a uid has by the files: its primary one and those that list its login. A process
    /// may have others; this is for connections that do not tell.
    pub fn groups_of(&self, uid: u32) -> Vec<u32> {
        let Some(user) = self.users.iter().find(|user| user.uid == uid) else { return Vec::new() };
        let listed = self.groups.iter().filter(|group| group.members.contains(&user.login));
        [user.gid].into_iter().chain(listed.map(|group| group.gid)).collect()
    }
}

/// Lines `login:x:uid:gid:..`; what is none is passed over.
fn users(text: &str) -> Vec<User> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let login = fields.next().filter(|login| is_name(login))?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { login, uid, gid })
    };
    text.lines().filter_map(line).collect()
}

/// Lines `name:x:gid:login,login`.
fn groups(text: &str) -> Vec<Group> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| is_name(name))?.to_owned();
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default().split(',').map(str::trim);
        let members = members.filter(|member| !member.is_empty()).map(str::to_owned).collect();
        Some(Group { name, gid, members })
    };
    text.lines().filter_map(line).collect()
}

/// Neither a comment nor one of NIS's `+` and `-` lines, nor a name that would read as another's.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-', ' ']) && !name.starts_with("uid-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(passwd: &str, group: &str) -> Accounts {
        let mut accounts = Accounts::of("/nonexistent", "/nonexistent");
        (accounts.users, accounts.groups) = (users(passwd), groups(group));
        accounts
    }

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a note\n\nann:x:1000:100::/home/ann:\n\
                          +nis\nbroken\nbob:x:many:1:\nroot2:x:0:0:::\nuid-7:x:8:8:::\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nmaestro:x:200:ann, eve\nbad:x:\nlast:x:300";

    #[test]
    fn a_uid_has_the_first_login_in_the_file_and_none_of_a_broken_line() {
        let accounts = accounts(PASSWD, GROUP);
        assert_eq!(accounts.login(0), "root");
        assert_eq!(accounts.login(1000), "ann");
        assert_eq!(accounts.login(4242), "uid-4242");
        assert_eq!(accounts.login(8), "uid-8", "nobody can be called like another uid");
    }

    #[test]
    fn a_uid_is_in_its_primary_group_and_where_it_is_listed() {
        let accounts = accounts(PASSWD, GROUP);
        assert_eq!(accounts.groups_of(1000), [100, 200]);
        assert_eq!(accounts.groups_of(0), [0]);
        assert_eq!(accounts.groups_of(4242), [0; 0]);
        assert_eq!((accounts.gid("maestro"), accounts.gid("last")), (Some(200), Some(300)));
        assert_eq!(accounts.gid("bad"), None);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (passwd, group) = (dir.path().join("passwd"), dir.path().join("group"));
        let mut accounts = Accounts::of(&passwd, &group);
        accounts.refresh();
        assert_eq!(accounts.login(5), "uid-5");
        fs::write(&passwd, "ann:x:5:5::\n").unwrap();
        accounts.refresh();
        assert_eq!(accounts.login(5), "ann");
        fs::write(&passwd, "anna:x:5:5::\n").unwrap();
        accounts.refresh();
        assert_eq!(accounts.login(5), "anna");
    }

    #[test]
    fn this_machine_knows_root() {
        let mut accounts = Accounts::default();
        accounts.refresh();
        assert_eq!(accounts.login(0), "root");
        assert!(accounts.groups_of(0).contains(&0));
    }
}
