//! What must hold of the core after every step, whatever clients did. For tests and the fuzzer.

use std::collections::{BTreeMap, HashMap};

use super::connection::State;
use super::{Core, Crowd};
use crate::broker::session::Peer;
use crate::broker::tree::Found;
use crate::topic::Shared;

impl Core {
    /// Everything that is kept in two places agrees, and nothing belongs to nobody.
    ///
    /// # Panics
    /// When it does not, naming what.
    pub(crate) fn check(&self) {
        self.check_connections();
        self.check_sessions();
        self.check_tree();
        self.check_totals();
        self.retained.check();
        self.unsettled.check();
        self.replays.check(|session| self.sessions.get(session).is_some());
        let bound = 2 * (2 * self.sessions.len() + 2 * self.connections.len() + 1) + 300;
        assert!(self.timers.len() <= bound, "{} timers, {bound} at most", self.timers.len());
        assert!(self.held.len() <= self.setting.limits.held, "the gate holds too many");
    }

    fn check_connections(&self) {
        let mut crowds: HashMap<Crowd, u32> = HashMap::new();
        let mut surplus = 0;
        for (key, connection) in self.connections.iter() {
            match connection.surplus {
                Some(_) => surplus += 1,
                None => *crowds.entry(connection.origin.crowd()).or_default() += 1,
            }
            if let State::Open(session) = connection.state {
                let owner = self.sessions.get(session).map(|session| session.peer);
                assert_eq!(owner, Some(Peer::Wire(key)), "an open connection has its session");
            }
        }
        assert_eq!(crowds, self.crowds, "crowds are the connections there are");
        assert_eq!(surplus, self.surplus);
    }

    fn check_sessions(&self) {
        assert_eq!(self.clients.len(), self.sessions.len(), "each session has one client id");
        let bounds = self.setting.limits.queue;
        for (key, session) in self.sessions.iter() {
            assert_eq!(self.clients.get(&session.client), Some(&key), "{}", session.client);
            match session.peer {
                Peer::Wire(connection) => {
                    let state = self.connections.get(connection).map(|found| &found.state);
                    assert!(matches!(state, Some(State::Open(open)) if *open == key), "{state:?}");
                }
                Peer::Link => {
                    let links = self.links.values().filter(|&&session| session == key);
                    assert_eq!(links.count(), 1, "a link's session has one link");
                }
                Peer::Away => {
                    let link = session.principal.is_link();
                    assert!(session.expiry_s > 0 || link, "{} is nobody's", session.client);
                }
            }
            session.queue.check();
            session.flight.check();
            // What was in flight comes back on top of a full queue.
            let most = bounds.count + self.setting.limits.in_flight.max(session.window.min(128));
            assert!(session.queue.len() <= most, "{} messages wait", session.queue.len());
            assert!(session.flight.numbers().count() <= session.window.max(1), "over its window");
        }
        for session in self.links.values() {
            assert!(self.sessions.get(*session).is_some(), "a link without a session");
        }
    }

    /// What is held together is what each holds.
    fn check_totals(&self) {
        let queues = self.sessions.iter().map(|(_, session)| session.queue.bytes());
        let groups = self.groups.iter().map(|(_, group)| group.queue.bytes());
        let ended = self.connections.iter().map(|(_, one)| one.bytes_to_take_back());
        assert_eq!(
            queues.chain(groups).chain(ended).sum::<usize>(),
            self.queued.bytes(),
            "bytes queued for all"
        );
        let wires = self.sessions.iter().filter(|(_, session)| session.peer != Peer::Link);
        let flights = wires.map(|(_, session)| session.flight.bytes());
        let unread = self.connections.iter().map(|(_, one)| one.unread.bytes());
        assert_eq!(flights.chain(unread).sum::<usize>(), self.sent.bytes(), "bytes sent to all");
    }

    /// The tree has exactly what the sessions say they asked for, and the groups their members.
    fn check_tree(&self) {
        let (mut wanted, mut shared) = (BTreeMap::new(), BTreeMap::new());
        for (key, session) in self.sessions.iter() {
            for (filter, options) in session.filters.iter() {
                let filters = match Shared::parse(filter) {
                    None => &mut wanted,
                    Some(_) => &mut shared,
                };
                filters.insert((filter.to_string(), key), *options);
            }
        }
        let (mut there, mut groups) = (BTreeMap::new(), BTreeMap::new());
        self.tree.each(|filter, found| match found {
            Found::Session(one) => {
                let before = there.insert((filter, one.session), one.options);
                assert!(before.is_none(), "twice in the tree");
            }
            Found::Group(key) => drop(groups.insert(key, filter)),
        });
        assert_eq!(there, wanted, "the tree and the sessions");
        let mut members = BTreeMap::new();
        for (key, group) in self.groups.iter() {
            assert_eq!(self.group_keys.get(&group.filter), Some(&key), "{}", group.filter);
            let inner = groups.remove(&key);
            assert_eq!(inner.as_deref(), Some(Shared::inner(&group.filter)), "a group's place");
            group.queue.check();
            let most = self.setting.limits.queue.count + 200;
            assert!(group.queue.len() <= most, "{} wait for a group", group.queue.len());
            for member in &group.members {
                members.insert((group.filter.to_string(), member.session), member.options);
                let session = self.sessions.get(member.session);
                assert!(session.is_some_and(|session| session.groups.contains(&key)), "a member");
            }
        }
        assert_eq!(members, shared, "the groups and the sessions");
        assert!(groups.is_empty(), "groups of nobody in the tree");
        assert_eq!(self.group_keys.len(), self.groups.len());
    }

    /// Nobody is here, and nothing is left of those who were.
    ///
    /// # Panics
    /// When something is, naming it.
    pub(crate) fn check_deserted(&self) {
        self.check();
        assert_eq!(self.connections.len(), 0);
        assert_eq!(self.sessions.len(), 0, "sessions");
        assert!(self.waiting.is_empty(), "somebody waits: {:?}", self.waiting);
        assert!(self.held.is_empty(), "the gate");
        self.tree.each(|filter, _| panic!("{filter} is left in the tree"));
    }
}
