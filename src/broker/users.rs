//! The password file, and what checks passwords against it.
//!
//! One line per user: `name:role:pbkdf2-sha256:iterations:salt:hash`, salt and hash in hexadecimal.
//! PBKDF2-HMAC-SHA256 (RFC 8018 §5.2) takes milliseconds by design, so the broker's thread never does
//! it: it hands an `Attempt` to the [door](super::door), where a `Checker` is, and goes on.
//!
//! Ten wrong passwords of one `Crowd` within a minute, and its next attempts are refused unseen until
//! the minute is over: all of its attempts, by whatever listener, and nobody else's. Attempts are not
//! counted by user: then anybody could lock anyone out. A refusal costs the same time whoever is named.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::pbkdf2;

use super::crowd::Crowd;
use super::identity::Password;
use crate::contract::Role;

/// Rounds for new passwords: 6 ms on a PC, some tens on a small ARM core.
pub const ITERATIONS: u32 = 20_000;
/// What a file may ask for at most: a typing error must not cost seconds per attempt.
const MOST_ITERATIONS: u32 = 2_000_000;
const SALT: usize = 16;
const HASH: usize = 32;
const SCHEME: &str = "pbkdf2-sha256";
static ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// One user of the password file.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name in CONNECT and in `user:<name>`.
    pub name: String,
    /// What the user may do, where the listener allows it.
    pub role: Role,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// A line that is no user, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    /// Which line.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Why a user was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name cannot be a user's.
    #[error("a user name is 1 to 64 characters without : / + # and white space")]
    Name,
    /// The password is empty.
    #[error("the password is empty")]
    Empty,
    /// The file was not read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {:?})", self.name, self.role)
    }
}

impl User {
    /// A user with a new password, salted from `salt`.
    fn new(name: &str, role: Role, password: &[u8], salt: [u8; SALT]) -> User {
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        let mut hash = vec![0; HASH];
        pbkdf2::derive(ALGORITHM, iterations, &salt, password, &mut hash);
        User { name: name.to_owned(), role, iterations, salt: salt.to_vec(), hash }
    }

    /// Whether this is the user's password. Takes milliseconds.
    pub fn has(&self, password: &[u8]) -> bool {
        pbkdf2::verify(ALGORITHM, self.iterations, &self.salt, password, &self.hash).is_ok()
    }

    fn line(&self) -> String {
        let (name, role) = (&self.name, role_word(self.role));
        let (salt, hash) = (hex(&self.salt), hex(&self.hash));
        format!("{name}:{role}:{SCHEME}:{}:{salt}:{hash}\n", self.iterations)
    }
}

/// The users of a file's text; empty lines and `#` comments are passed over.
///
/// # Errors
/// Every line that is no user, or names one a second time; the others hold.
pub fn parse(text: &str) -> (Vec<User>, Vec<BadLine>) {
    let (mut users, mut bad) = (Vec::<User>::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let twice = |user: &User| users.iter().any(|known| known.name == user.name);
        match user(line) {
            Ok(user) if twice(&user) => {
                bad.push(BadLine { line: index + 1, what: "this user is there already" });
            }
            Ok(user) => users.push(user),
            Err(what) => bad.push(BadLine { line: index + 1, what }),
        }
    }
    (users, bad)
}

fn user(line: &str) -> Result<User, &'static str> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, role, scheme, iterations, salt, hash] = fields[..] else {
        return Err("not name:role:pbkdf2-sha256:iterations:salt:hash");
    };
    if !is_user_name(name) {
        return Err("not a user name");
    }
    if scheme != SCHEME {
        return Err("only pbkdf2-sha256 is known");
    }
    let role = role_of(role).ok_or("the role is none of observer, app, operator, admin")?;
    let iterations = iterations.parse().ok().filter(|n: &NonZeroU32| n.get() <= MOST_ITERATIONS);
    let iterations = iterations.ok_or("the iterations are not a number from 1 to 2000000")?;
    let salt = unhex(salt).filter(|salt| salt.len() >= 8).ok_or("the salt is not 8 hex bytes")?;
    let hash =
        unhex(hash).filter(|hash| hash.len() == HASH).ok_or("the hash is not 32 hex bytes")?;
    Ok(User { name: name.to_owned(), role, iterations, salt, hash })
}

/// One level of a topic, and one field of a line.
fn is_user_name(name: &str) -> bool {
    let bad = |c: char| matches!(c, ':' | '/' | '+' | '#') || c.is_whitespace() || c.is_control();
    (1..=64).contains(&name.chars().count()) && !name.contains(bad)
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Observer => "observer",
        Role::App => "app",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn role_of(word: &str) -> Option<Role> {
    let roles = [Role::Observer, Role::App, Role::Operator, Role::Admin];
    roles.into_iter().find(|role| role_word(*role) == word)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Adds a user to the file, or gives a known one a new password and role. The file is replaced as a
/// whole, mode 0600, its owner kept; comments and lines that are no users stay.
///
/// # Errors
/// When the name or password cannot be one, or the file not be written.
pub fn add_user(path: &Path, name: &str, password: &[u8], role: Role) -> Result<(), AddError> {
    if !is_user_name(name) {
        return Err(AddError::Name);
    }
    if password.is_empty() {
        return Err(AddError::Empty);
    }
    let failed = |source: io::Error| AddError::File { path: path.to_owned(), source };
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| failed(io::Error::other(error)))?;
    let line = User::new(name, role, password, salt).line();
    replace(path, name, &line).map_err(failed)
}

fn replace(path: &Path, name: &str, line: &str) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let own = format!("{name}:");
    let mut text: String = old
        .lines()
        .filter(|line| !line.starts_with(&own))
        .map(|line| format!("{line}\n"))
        .collect();
    text.push_str(line);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside); // left by one that was interrupted
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| {
        if let Ok(old) = fs::metadata(path) {
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(dir)?.sync_all()
    });
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// A password to be checked.
pub(super) struct Attempt {
    /// Given back with the answer.
    pub(super) token: u64,
    /// Where it came from, for the limit.
    pub(super) source: Crowd,
    /// The user name of CONNECT; `None` is always wrong.
    pub(super) name: Option<String>,
    /// The password of CONNECT.
    pub(super) password: Vec<u8>,
}

/// Checks passwords against the file, which is read when it has changed; a missing file has no users.
/// Each check takes milliseconds: it is for a thread that may take them.
pub(super) struct Checker {
    users: Option<Users>,
    failures: Failures,
}

impl Checker {
    /// Nothing is read yet.
    pub(super) fn new(file: Option<PathBuf>) -> Checker {
        Checker { users: file.map(Users::new), failures: Failures::default() }
    }

    /// Whose password it is.
    pub(super) fn check(&mut self, attempt: Attempt, now: Instant) -> Password {
        if self.failures.too_many(attempt.source, now) {
            return Password::TooMany;
        }
        let users = self.users.as_mut().map(Users::current).unwrap_or_default();
        let (password, _) = judge(users, attempt.name.as_deref(), &attempt.password);
        if password == Password::Wrong {
            self.failures.add(attempt.source, now);
        }
        password
    }
}

/// Whose password it is, and how many rounds that took. A refusal takes those of the dearest user, whoever
/// is named: its time tells nobody who is known, nor who has an old password of fewer rounds.
fn judge(users: &[User], name: Option<&str>, password: &[u8]) -> (Password, u32) {
    let known = users.iter().find(|user| Some(&*user.name) == name);
    let own = known.map_or(0, |user| user.iterations.get());
    if let Some(user) = known.filter(|user| user.has(password)) {
        return (Password::Right { name: user.name.clone(), role: user.role }, own);
    }
    let dearest = users.iter().map(|user| user.iterations.get()).max().unwrap_or(ITERATIONS);
    (Password::Wrong, own + spend(dearest - own, password))
}

/// Does so many rounds for nothing; how many it did.
fn spend(rounds: u32, password: &[u8]) -> u32 {
    let Some(iterations) = NonZeroU32::new(rounds) else { return 0 };
    let mut hash = [0; HASH];
    pbkdf2::derive(ALGORITHM, iterations, &[0; SALT], password, &mut hash);
    std::hint::black_box(hash); // it is the time that is wanted
    rounds
}

/// The password file, read again when it has changed.
struct Users {
    path: PathBuf,
    seen: Option<(u64, u64, i64, i64)>,
    users: Vec<User>,
}

impl Users {
    fn new(path: PathBuf) -> Users {
        Users { path, seen: None, users: Vec::new() }
    }

    fn current(&mut self) -> &[User] {
        let meta = fs::metadata(&self.path).ok();
        let now = meta.map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        if now != self.seen {
            self.seen = now;
            let text = fs::read_to_string(&self.path).unwrap_or_else(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %self.path.display(), %error, "password file: no users");
                }
                String::new()
            });
            let (users, bad) = parse(&text);
            for line in bad {
                tracing::warn!(file = %self.path.display(), %line, "password file: line ignored");
            }
            self.users = users;
        }
        &self.users
    }
}

/// Wrong passwords by source: a window of a minute each.
#[derive(Default)]
struct Failures {
    sources: HashMap<Crowd, (Instant, u32)>,
}

const WINDOW: Duration = Duration::from_secs(60);
const WRONG_PER_WINDOW: u32 = 10;
/// Sources remembered at most. Whoever has more of them has ten thousand attempts a minute without a
/// trick, about as many as the door can check: that some are forgotten gives nothing away.
const SOURCES: usize = 1024;

impl Failures {
    fn too_many(&self, source: Crowd, now: Instant) -> bool {
        self.sources
            .get(&source)
            .is_some_and(|(since, count)| *count >= WRONG_PER_WINDOW && !is_over(*since, now))
    }

    fn add(&mut self, source: Crowd, now: Instant) {
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            self.make_room(now);
        }
        let (since, count) = self.sources.entry(source).or_insert((now, 0));
        if is_over(*since, now) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }

    /// Forgets those whose minute is over; when there are none, the least guilty, of these the oldest.
    /// A stranger is never refused for what others did.
    fn make_room(&mut self, now: Instant) {
        self.sources.retain(|_, (since, _)| !is_over(*since, now));
        if self.sources.len() < SOURCES {
            return;
        }
        let least = self.sources.iter().min_by_key(|(_, (since, count))| (*count, *since));
        if let Some(source) = least.map(|(source, _)| *source) {
            self.sources.remove(&source);
        }
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_added_user_is_in_the_file_with_its_role_and_only_its_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/users");
        add_user(&path, "bob", b"secret", Role::Operator).unwrap();
        add_user(&path, "ann", "pässword".as_bytes(), Role::App).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("secret"));
        let (users, bad) = parse(&text);
        assert_eq!(bad, []);
        assert_eq!((users[0].name.as_str(), users[0].role), ("bob", Role::Operator));
        assert!(users[0].has(b"secret") && !users[0].has(b"Secret") && !users[0].has(b""));
        assert!(users[1].has("pässword".as_bytes()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_known_user_gets_a_new_password_and_the_rest_of_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, "# by hand\nnonsense\n").unwrap();
        add_user(&path, "bob", b"one", Role::App).unwrap();
        add_user(&path, "bobby", b"three", Role::App).unwrap();
        add_user(&path, "bob", b"two", Role::Admin).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# by hand\nnonsense\nbobby:"), "{text}");
        let (users, bad) = parse(&text);
        assert_eq!(bad.len(), 1);
        assert_eq!(users.len(), 2);
        assert!(users[1].has(b"two") && !users[1].has(b"one") && users[1].role == Role::Admin);
    }

    #[test]
    fn a_name_that_could_be_read_as_something_else_is_refused() {
        let long = "x".repeat(65);
        for name in ["", "a:b", "a/b", "+", "a#", "a b", "a\nroot:admin", "\0", long.as_str()] {
            let path = Path::new("/nonexistent/users");
            let refused = add_user(path, name, b"p", Role::Admin).unwrap_err();
            assert!(matches!(refused, AddError::Name), "{name:?}");
        }
        let refused = add_user(Path::new("/nonexistent/users"), "bob", b"", Role::App).unwrap_err();
        assert!(matches!(refused, AddError::Empty));
    }

    #[test]
    fn every_bad_line_is_told_with_its_number_and_the_good_ones_hold() {
        let good = User::new("ann", Role::App, b"x", [7; SALT]).line();
        let text = format!(
            "{good}\nbob\nbob:boss:pbkdf2-sha256:1:0011223344556677:{h}\nbob:app:md5:1:00:00\n\
             bob:app:pbkdf2-sha256:0:0011223344556677:{h}\nbob:app:pbkdf2-sha256:9:xx:{h}\n\
             bob:app:pbkdf2-sha256:9:0011223344556677:00\n{good}",
            h = "00".repeat(32)
        );
        let (users, bad) = parse(&text);
        assert_eq!(users.len(), 1);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn pbkdf2_is_the_standards() {
        // RFC 7914 §11: PBKDF2-HMAC-SHA256, "passwd", "salt", 1 iteration, first 32 bytes
        let line = format!(
            "u:app:pbkdf2-sha256:1:{}:55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
            hex(b"salt"),
        );
        assert_eq!(user(&line), Err("the salt is not 8 hex bytes"));
        let known = User {
            name: "u".into(),
            role: Role::App,
            iterations: NonZeroU32::MIN,
            salt: b"salt".to_vec(),
            hash: unhex(line.rsplit(':').next().unwrap()).unwrap(),
        };
        assert!(known.has(b"passwd") && !known.has(b"Passwd"));
    }

    fn from(address: &str) -> Crowd {
        Crowd::at(address.parse().unwrap())
    }

    #[test]
    fn a_refusal_takes_as_many_rounds_whoever_is_named() {
        let user = |name: &str, iterations| {
            let iterations = NonZeroU32::new(iterations).unwrap();
            User { iterations, ..User::new(name, Role::App, b"x", [7; SALT]) }
        };
        let users = [user("ann", 100), user("old", 3000), user("bob", 1000)];
        for name in [Some("ann"), Some("bob"), Some("old"), Some("nobody"), None] {
            assert_eq!(judge(&users, name, b"guess"), (Password::Wrong, 3000), "{name:?}");
        }
        assert_eq!(judge(&[], Some("ann"), b"guess"), (Password::Wrong, ITERATIONS));
    }

    #[test]
    fn ten_wrong_passwords_close_a_source_for_the_rest_of_the_minute_and_no_other() {
        let mut failures = Failures::default();
        for n in 0..10 {
            assert!(!failures.too_many(from("10.0.0.1"), at(n)));
            failures.add(from("10.0.0.1"), at(n));
        }
        assert!(failures.too_many(from("10.0.0.1"), at(10)));
        assert!(failures.too_many(from("10.0.0.1"), at(59)));
        assert!(!failures.too_many(from("10.0.0.1"), at(60)));
        assert!(!failures.too_many(from("10.0.0.2"), at(10)));
    }

    #[test]
    fn who_has_many_addresses_has_no_more_attempts() {
        for many in [|n| format!("127.1.0.{n}"), |n| format!("2001:db8::{n}:1")] {
            let mut failures = Failures::default();
            (1..11).for_each(|n| failures.add(from(&many(n)), at(1)));
            assert!(failures.too_many(from(&many(11)), at(2)), "{}", many(11));
        }
    }

    #[test]
    fn a_full_table_forgets_the_least_guilty_and_locks_no_stranger_out() {
        let mut failures = Failures::default();
        (0..10).for_each(|n| failures.add(from("10.0.0.1"), at(n)));
        for n in 0..5000 {
            failures.add(from(&format!("2001:db8:0:{n:x}::1")), at(10));
            assert!(failures.sources.len() <= SOURCES, "memory stays bounded");
        }
        assert!(!failures.too_many(from("2001:db8:ffff::1"), at(11)), "never seen");
        assert!(failures.too_many(from("10.0.0.1"), at(11)), "a crowd does not wash it clean");
        failures.add(from("10.0.0.2"), at(100));
        assert_eq!(failures.sources.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn the_checker_sees_a_changed_file_and_counts_what_was_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let mut checker = Checker::new(Some(path.clone()));
        let mut check = |name: Option<&str>, password: &[u8]| {
            let (source, password) = (Crowd::Uid(1), password.to_vec());
            let attempt = Attempt { token: 1, source, name: name.map(str::to_owned), password };
            checker.check(attempt, at(0))
        };
        assert_eq!(check(Some("bob"), b"secret"), Password::Wrong);
        add_user(&path, "bob", b"secret", Role::Operator).unwrap();
        let right = Password::Right { name: "bob".into(), role: Role::Operator };
        assert_eq!(check(Some("bob"), b"secret"), right);
        assert_eq!(check(None, b"secret"), Password::Wrong);
        assert_eq!(check(Some(""), b""), Password::Wrong);
        for _ in 0..7 {
            assert_eq!(check(Some("bob"), b"guess"), Password::Wrong);
        }
        assert_eq!(check(Some("bob"), b"secret"), Password::TooMany);
    }
}
