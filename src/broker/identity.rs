//! Who a connection is. Pure: the kernel and the password file have been asked already.
//!
//! | came by | and showed | is | at most |
//! |---|---|---|---|
//! | any | the right password | `user:<name>`, the role of the password file | `max_role` |
//! | any | a wrong password | refused, whatever else it could be | |
//! | TLS, secure WebSocket | a certificate of `client_ca` | `cert:<name>`, app or what `broker.certificates` says | `max_role` |
//! | TLS, WebSocket, from this box, too | neither | refused: never a uid | |
//! | Unix | uid 0 | `root`, admin | `max_role` |
//! | Unix | the daemon's uid | `admin:<login>`, admin | `max_role` |
//! | Unix | gid or groups have `maestro` | `operator:<login>`, operator | `max_role` |
//! | Unix | else | `app:<login>`, app | `max_role` |
//! | loopback TCP | an owner | as by Unix | operator, `max_role` |
//! | loopback TCP | no owner any more | refused | |
//! | TCP from elsewhere | no password | refused | |
//!
//! A name says who it is, not what it may do here: root by TCP is `root` with role operator, and its
//! sessions are the same as by Unix. A user name without a password is no claim on a local listener
//! (`mosquitto_pub -u`), and no identity on any other.

use super::Principal;
use super::wire::Reason;
use crate::contract::Role;

/// What is known of a connection when its CONNECT has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How it came.
    pub transport: Transport,
    /// What became of its user name and password.
    pub password: Password,
}

/// How a connection came, and what the kernel says of its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A Unix socket.
    Unix(Owner),
    /// TCP with both ends on loopback; `None` when the other end has no owner any more.
    Loopback(Option<Owner>),
    /// TCP with an end elsewhere; TLS and WebSocket wherever it comes from: what a page in a browser
    /// or a proxy on this box says is not its user's word.
    Remote,
    /// A certificate was shown, and verified.
    Certificate(Bearer),
}

/// Whom a certificate names, and what the configuration makes of that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// As the certificate says it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its `app/<name>`, one level of a topic.
    pub app: String,
}

/// The account at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Uid.
    pub uid: u32,
    /// Its login, `uid-<n>` when it has none.
    pub login: String,
    /// Primary and supplementary groups.
    pub groups: Vec<u32>,
}

/// What became of the password of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// There was none.
    None,
    /// It is that user's.
    Right {
        /// The user.
        name: String,
        /// The role in the password file.
        role: Role,
    },
    /// It is not, or there is no such user, or no user name.
    Wrong,
    /// It was not looked at: too many wrong ones from there.
    TooMany,
}

/// What the daemon knows of itself and the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The daemon's own uid.
    pub own_uid: u32,
    /// The gid of the group `maestro`, where there is one.
    pub operators: Option<u32>,
    /// The listener's `max_role`.
    pub max_role: Role,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// User name and password do not match.
    BadUserNameOrPassword,
    /// Too many wrong passwords from there; this one was not looked at.
    TooManyAttempts,
    /// The other end is gone, so nobody can say whose it was.
    NoOwner,
    /// From elsewhere without a password.
    Anonymous,
}

impl Refusal {
    /// What CONNACK says (3.1.1: its return code).
    pub fn reason(self) -> Reason {
        match self {
            Refusal::BadUserNameOrPassword => Reason::BadUserNameOrPassword,
            Refusal::TooManyAttempts => Reason::ConnectionRateExceeded,
            Refusal::NoOwner | Refusal::Anonymous => Reason::NotAuthorized,
        }
    }

    /// The code on `event/broker/<client>/refused`.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::BadUserNameOrPassword => "broker.bad_password",
            Refusal::TooManyAttempts => "broker.too_many_attempts",
            Refusal::NoOwner => "broker.no_owner",
            Refusal::Anonymous => "broker.anonymous",
        }
    }

    /// For a person.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::BadUserNameOrPassword => "user name and password do not match",
            Refusal::TooManyAttempts => "too many wrong passwords, try again in a minute",
            Refusal::NoOwner => "the connection was closed before its owner could be asked for",
            Refusal::Anonymous => {
                "a user name and a password, or a certificate, are needed from there"
            }
        }
    }
}

/// Who it is, or why it is nobody.
///
/// # Errors
/// When nobody is to be let in.
pub fn establish(facts: &Facts, rules: &Rules) -> Result<Principal, Refusal> {
    let uid = match &facts.transport {
        Transport::Unix(owner) | Transport::Loopback(Some(owner)) => Some(owner.uid),
        Transport::Loopback(None) | Transport::Remote | Transport::Certificate(_) => None,
    };
    match &facts.password {
        Password::Right { name, role } => {
            let role = (*role).min(rules.max_role);
            let app = Some(name.clone());
            let name = format!("user:{name}");
            let max_role = rules.max_role;
            return Ok(Principal { name, role, max_role, app, uid, bridge: None });
        }
        Password::Wrong => return Err(Refusal::BadUserNameOrPassword),
        Password::TooMany => return Err(Refusal::TooManyAttempts),
        Password::None => {}
    }
    match &facts.transport {
        Transport::Unix(owner) => Ok(by_uid(owner, rules, Role::Admin)),
        Transport::Loopback(Some(owner)) => Ok(by_uid(owner, rules, Role::Operator)),
        Transport::Loopback(None) => Err(Refusal::NoOwner),
        Transport::Remote => Err(Refusal::Anonymous),
        Transport::Certificate(bearer) => Ok(by_certificate(bearer, rules)),
    }
}

fn by_certificate(bearer: &Bearer, rules: &Rules) -> Principal {
    let max_role = rules.max_role;
    let role = bearer.role.min(max_role);
    let (name, app) = (format!("cert:{}", bearer.name), Some(bearer.app.clone()));
    Principal { name, role, max_role, app, uid: None, bridge: None }
}

fn by_uid(owner: &Owner, rules: &Rules, most: Role) -> Principal {
    let in_group = rules.operators.is_some_and(|gid| owner.groups.contains(&gid));
    let login = &owner.login;
    let (name, role) = match owner.uid {
        0 => ("root".to_owned(), Role::Admin),
        uid if uid == rules.own_uid => (format!("admin:{login}"), Role::Admin),
        _ if in_group => (format!("operator:{login}"), Role::Operator),
        _ => (format!("app:{login}"), Role::App),
    };
    let max_role = most.min(rules.max_role);
    let role = role.min(max_role);
    Principal { name, role, max_role, app: Some(login.clone()), uid: Some(owner.uid), bridge: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: u32 = 200;

    fn owner(uid: u32, groups: &[u32]) -> Owner {
        let login = match uid {
            0 => "root".to_owned(),
            65534 => "nobody".to_owned(),
            uid => format!("u{uid}"),
        };
        Owner { uid, login, groups: groups.to_vec() }
    }

    fn rules(max_role: Role) -> Rules {
        Rules { own_uid: 500, operators: Some(OPERATORS), max_role }
    }

    fn without_password(transport: Transport, max_role: Role) -> Result<(String, Role), Refusal> {
        let facts = Facts { transport, password: Password::None };
        establish(&facts, &rules(max_role)).map(|who| (who.name, who.role))
    }

    fn is(name: &str, role: Role) -> Result<(String, Role), Refusal> {
        Ok((name.to_owned(), role))
    }

    #[test]
    fn by_unix_the_kernel_says_who_it_is() {
        let unix = |uid, groups: &[u32]| {
            without_password(Transport::Unix(owner(uid, groups)), Role::Admin)
        };
        assert_eq!(unix(0, &[0]), is("root", Role::Admin));
        assert_eq!(unix(500, &[]), is("admin:u500", Role::Admin));
        assert_eq!(unix(1000, &[100, OPERATORS]), is("operator:u1000", Role::Operator));
        assert_eq!(unix(1000, &[100]), is("app:u1000", Role::App));
        assert_eq!(unix(65534, &[65534]), is("app:nobody", Role::App));
    }

    #[test]
    fn by_loopback_nobody_is_more_than_operator() {
        for max_role in [Role::Operator, Role::Admin] {
            let tcp = |uid, groups: &[u32]| {
                without_password(Transport::Loopback(Some(owner(uid, groups))), max_role)
            };
            assert_eq!(tcp(0, &[0]), is("root", Role::Operator));
            assert_eq!(tcp(500, &[]), is("admin:u500", Role::Operator));
            assert_eq!(tcp(1000, &[OPERATORS]), is("operator:u1000", Role::Operator));
            assert_eq!(tcp(65534, &[]), is("app:nobody", Role::App));
        }
    }

    #[test]
    fn without_an_owner_or_from_elsewhere_nobody_is_let_in() {
        assert_eq!(without_password(Transport::Loopback(None), Role::Admin), Err(Refusal::NoOwner));
        assert_eq!(without_password(Transport::Remote, Role::Admin), Err(Refusal::Anonymous));
    }

    #[test]
    fn a_listener_caps_everyone() {
        for (uid, groups) in [(0, vec![]), (500, vec![]), (1000, vec![OPERATORS]), (1000, vec![])] {
            let transport = Transport::Unix(owner(uid, &groups));
            let (_, role) = without_password(transport, Role::Observer).unwrap();
            assert_eq!(role, Role::Observer, "{uid}");
        }
        let password = Password::Right { name: "bob".into(), role: Role::Admin };
        let facts = Facts { transport: Transport::Remote, password };
        assert_eq!(establish(&facts, &rules(Role::App)).unwrap().role, Role::App);
    }

    #[test]
    fn a_password_says_who_it_is_on_every_listener() {
        let everywhere = [
            Transport::Unix(owner(0, &[])),
            Transport::Loopback(Some(owner(65534, &[]))),
            Transport::Loopback(None),
            Transport::Remote,
        ];
        for transport in everywhere {
            let right = Password::Right { name: "bob".into(), role: Role::Operator };
            let facts = Facts { transport, password: right };
            let who = establish(&facts, &rules(Role::Admin)).unwrap();
            assert_eq!((who.name.as_str(), who.role), ("user:bob", Role::Operator));
            assert_eq!(who.app.as_deref(), Some("bob"));

            let wrong = Facts { password: Password::Wrong, ..facts.clone() };
            let refused = establish(&wrong, &rules(Role::Admin)).unwrap_err();
            assert_eq!(refused, Refusal::BadUserNameOrPassword, "not even root by Unix");
            let many = Facts { password: Password::TooMany, ..facts };
            assert_eq!(establish(&many, &rules(Role::Admin)), Err(Refusal::TooManyAttempts));
        }
    }

    #[test]
    fn a_certificate_says_who_it_is_and_the_listener_what_that_is_worth() {
        let bearer = |role| Bearer { name: "GW 1".into(), role, app: "GW%201".into() };
        for (role, max_role, expected) in [
            (Role::App, Role::Operator, Role::App),
            (Role::Admin, Role::Operator, Role::Operator),
            (Role::Operator, Role::Observer, Role::Observer),
        ] {
            let transport = Transport::Certificate(bearer(role));
            let facts = Facts { transport, password: Password::None };
            let who = establish(&facts, &rules(max_role)).unwrap();
            assert_eq!((who.name.as_str(), who.role), ("cert:GW 1", expected));
            assert_eq!((who.app.as_deref(), who.uid), (Some("GW%201"), None));
        }
        let transport = Transport::Certificate(bearer(Role::Admin));
        let facts = Facts { transport, password: Password::Wrong };
        assert_eq!(establish(&facts, &rules(Role::Admin)), Err(Refusal::BadUserNameOrPassword));
    }

    #[test]
    fn where_there_is_no_group_maestro_nobody_is_operator_by_group() {
        let rules = Rules { operators: None, ..rules(Role::Admin) };
        let facts = Facts {
            transport: Transport::Unix(owner(1000, &[0, OPERATORS])),
            password: Password::None,
        };
        assert_eq!(establish(&facts, &rules).unwrap().role, Role::App);
    }

    #[test]
    fn a_refusal_says_the_standards_reason_to_both_versions() {
        for (refusal, v5, v3) in [
            (Refusal::BadUserNameOrPassword, 0x86, Some(4)),
            (Refusal::TooManyAttempts, 0x9F, Some(3)),
            (Refusal::NoOwner, 0x87, Some(5)),
            (Refusal::Anonymous, 0x87, Some(5)),
        ] {
            assert_eq!(refusal.reason() as u8, v5);
            assert_eq!(refusal.reason().return_code(), v3, "{refusal:?}");
        }
    }
}
