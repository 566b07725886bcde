//! The hands of `turn`, without a kernel: sockets with little room, a store in virtual time, a power cut
//! at any write.

use super::{PowerCut, World};
use crate::broker::core::{Effects, Hands};
use crate::broker::intake::{Op, Ticket};
use crate::broker::model::chance::Chance;
use crate::broker::model::client::{Client, Line};
use crate::broker::model::oracle::{Ending, Oracle};
use crate::broker::model::packet::{self, Got};
use crate::broker::slots::Key;
use crate::broker::wire;
use crate::service::testing::at;
use crate::storage::{Batch, Window};

impl World {
    /// The broker takes what a client sent, as far as it reads.
    pub(super) fn feed(&mut self, client: usize, fx: &mut Effects) {
        let Some(line) = &mut self.clients[client].line else { return };
        if !line.up.is_empty() && self.core.reading(line.key) {
            let done = self.core.received(line.key, &line.up, fx);
            line.up.drain(..done);
        }
    }

    /// Everything that happens by itself at this moment.
    pub(super) fn turn(&mut self) {
        for _ in 0..100 {
            if self.disk.dead() {
                return self.power_cut();
            }
            let mut fx = self.fx();
            for client in
                std::mem::take(&mut self.bursting).into_iter().chain(0..self.clients.len())
            {
                self.feed(client, &mut fx);
            }
            for op in std::mem::take(&mut self.operations) {
                self.core.operation(op, &mut fx);
            }
            self.core.due(&mut fx);
            self.core.go_on(&mut fx);
            fx.perform(self);
            if self.disk.dead() {
                return self.power_cut();
            }
            let said = |line: &Line| !line.up.is_empty() && self.core.reading(line.key);
            let more = self.core.unfinished()
                || !self.operations.is_empty()
                || self.clients.iter().filter_map(|client| client.line.as_ref()).any(said);
            if !self.eager_clients_read() && !more {
                return;
            }
        }
        self.oracle.breaks("it turns and turns");
    }

    fn eager_clients_read(&mut self) -> bool {
        let mut any = false;
        for client in &mut self.clients {
            if client.profile.eager {
                while client.busy() {
                    client.read(&mut self.oracle);
                    client.answer(0);
                    any = true;
                }
            }
        }
        any | self.room_again()
    }

    /// A socket that was full has room: the broker writes on.
    fn room_again(&mut self) -> bool {
        let mut fx = self.fx();
        for client in &self.clients {
            if let Some(line) = &client.line
                && client.backlog() < client.profile.room
                && self.core.outbox(line.key).is_some_and(|out| !out.is_empty())
            {
                fx.dirty.push(line.key);
            }
        }
        let any = !fx.dirty.is_empty();
        fx.perform(self);
        any
    }

    /// What the broker has begun to send to a client, though the socket has not all of it.
    pub(super) fn sending(&mut self, client: usize) {
        let Some(line) = &self.clients[client].line else { return };
        let version = self.clients[client].profile.version;
        let out = self.core.outbox(line.key).map(|out| &**out).unwrap_or_default();
        let whole = [&line.partial, out].concat();
        let mut rest = &whole[..];
        while let Ok(Some(frame)) = wire::frame(rest, usize::MAX) {
            rest = &rest[frame.size..];
            if let Ok(Got::Publish(arrival)) = packet::read(version, &frame) {
                self.oracle.sending(client, arrival.number);
            }
        }
    }

    pub(super) fn owner(&self, key: Key) -> Option<usize> {
        let of = |client: &Client| client.line.as_ref().is_some_and(|line| line.key == key);
        self.clients.iter().position(of)
    }

    /// Time passes, from one thing that is due to the next.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        let mut still = 0;
        loop {
            let core = self.core.wake().map(|wake| {
                let since = wake.saturating_duration_since(at(0));
                u64::try_from(since.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
            });
            let next = core.into_iter().chain(self.disk.due()).min().map_or(until, |due| due);
            still = if next > self.now { 0 } else { still + 1 };
            if still > 1000 {
                let of_core = core.is_some_and(|due| due <= self.now);
                let whose = if of_core { "the broker's" } else { "the disk's" };
                return self.oracle.breaks(format!("time stands still: {whose} doing"));
            }
            self.now = next.clamp(self.now, until);
            self.oracle.advance(self.now);
            let crashes = self.crashes;
            for (ticket, result) in self.disk.turn(self.now) {
                self.operations.push_back(Op::Stored { ticket, result });
            }
            self.turn();
            if self.now >= until || self.crashes > crashes || self.oracle.broken().is_some() {
                return;
            }
        }
    }

    /// The armed crash happened.
    pub(super) fn power_cut(&mut self) {
        let cut = self.armed.take().unwrap_or(PowerCut { chance: 0, down_ms: 0, again: None });
        self.crash(cut);
    }

    pub(super) fn crash(&mut self, cut: PowerCut) {
        self.crashes += 1;
        let mut chance = Chance::of(cut.chance);
        (0..self.clients.len()).for_each(|client| self.sending(client));
        for client in &mut self.clients {
            for _ in 0..chance.below(6) {
                client.read(&mut self.oracle);
            }
            client.line = None;
        }
        self.oracle.crashed(cut.down_ms);
        self.now += cut.down_ms;
        let PowerCut { again, down_ms, .. } = cut;
        self.armed =
            again.map(|_| PowerCut { chance: cut.chance ^ 1, down_ms: down_ms / 2, again: None });
        self.disk.crash(&mut chance, again);
        self.start();
    }

    pub(super) fn restart(&mut self) {
        self.mend();
        let mut fx = self.fx();
        self.core.operation(Op::Stop, &mut fx);
        self.oracle.restarted();
        fx.perform(self);
        for client in &mut self.clients {
            while client.read(&mut self.oracle) {}
            client.line = None;
        }
        self.disk.restart();
        if self.disk.dead() {
            return self.power_cut();
        }
        self.start();
    }

    /// A new process, on what the disk has.
    pub(super) fn start(&mut self) {
        self.operations.clear();
        self.core = super::core(self.house);
        if self.disk.dead() {
            return self.power_cut(); // while the store was opened
        }
        let mut fx = self.fx();
        let unreadable = self.core.restore(&self.disk, &mut fx);
        if unreadable > 0 {
            self.oracle.breaks(format!("{unreadable} rows cannot be read"));
        }
        self.oracle.advance(self.now);
        fx.perform(self);
        self.turn();
    }
}

impl Hands for World {
    fn store(&mut self, batch: Batch, window: Window, ticket: Option<Ticket>) {
        if let Some((ticket, result)) = self.disk.write(self.now, batch, window, ticket) {
            self.operations.push_back(Op::Stored { ticket, result });
        }
    }

    /// Nobody is in this process but the broker.
    fn hand_out(&mut self, _fx: &mut Effects) {}

    fn closing(&mut self, connections: &[Key]) {
        for owner in connections.iter().filter_map(|&key| self.owner(key)).collect::<Vec<_>>() {
            self.oracle.connection_ended(owner, Ending::Broken);
        }
    }

    /// Bytes go to the client's socket, as many as it has room for.
    fn write(&mut self, key: Key, fx: &mut Effects) {
        let Some(client) = self.owner(key) else {
            if let Some(out) = self.core.outbox(key) {
                out.clear(); // nobody is there any more
            }
            return;
        };
        let client = &mut self.clients[client];
        let room = client.profile.room.saturating_sub(client.backlog());
        let Some(out) = self.core.outbox(key) else { return };
        let some: Vec<u8> = out.drain(..out.len().min(room)).collect();
        let since = client.line.as_mut().and_then(|line| line.stalled);
        hand_over(client, &some, since.unwrap_or(self.now), &mut self.oracle);
        if let Some(line) = &mut client.line {
            line.stalled = (!out.is_empty()).then(|| since.unwrap_or(self.now));
        }
        self.core.written(key, fx);
    }

    /// The broker closes a connection; the client reads what came before.
    fn close(&mut self, key: Key, fx: &mut Effects) {
        if let Some(owner) = self.owner(key) {
            let client = &mut self.clients[owner];
            if let Some(out) = self.core.outbox(key) {
                let last_words: Vec<u8> = std::mem::take(out);
                let since = client.line.as_ref().and_then(|line| line.stalled);
                hand_over(client, &last_words, since.unwrap_or(self.now), &mut self.oracle);
            }
            while client.read(&mut self.oracle) {}
            client.line = None;
            self.oracle.connection_ended(owner, Ending::Broken);
        }
        self.core.closed(key, fx);
    }
}

/// Bytes reach a socket that the broker may have made ready at `since` already.
fn hand_over(client: &mut Client, bytes: &[u8], since: u64, oracle: &mut Oracle) {
    let Some(line) = &mut client.line else { return };
    line.partial.extend_from_slice(bytes);
    let whole = std::mem::take(&mut line.partial);
    let mut rest = &whole[..];
    loop {
        match wire::frame(rest, usize::MAX) {
            Ok(Some(frame)) => {
                rest = &rest[frame.size..];
                match packet::read(client.profile.version, &frame) {
                    Ok(got) => client.deliver((got, frame.size), since, oracle),
                    Err(what) => return oracle.breaks(format!("a client gets {what}")),
                }
            }
            Ok(None) => break,
            Err(what) => return oracle.breaks(format!("a client gets {what:?}")),
        }
    }
    if let Some(line) = &mut client.line {
        line.partial = rest.to_vec();
    }
}
