//! The hands of the store: the one thread that commits.
//!
//! ```text
//!            window ends: commit
//!            +--------+
//!            v        | done
//!   open --> OnDisk --+                 InRam (at the start only: no disk takes it)
//!            ^  | the disk does not       |
//!            |  v take it                 |  every write counts as done
//!            |  InTrouble                 |
//!            |  | close redb, open again, |
//!            +--+ after a delay try <-----+
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Disk, Fault, told_by};
use super::pending::{Rows, Schedule, Told};
use super::place::{Opened, Place};
use super::shared::{EARLY_BYTES, Mode, Shared, State};
use super::{OpenError, Status, Unsafe, trouble};
use crate::contract;

/// The first try after trouble; doubles with each. A full disk often is so for a moment.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest: service is back this soon after space is, at the cost of a wake-up.
const LAST_DELAY: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    shared: Arc<Shared>,
    place: Place,
    path: PathBuf,
    schedule: Schedule,
    retry: Option<Retry>,
    /// The open database writes to the file, not to RAM over it.
    on_file: bool,
    /// What stays to be said while all is well: a file was set aside.
    notice: Option<contract::Error>,
}

struct Retry {
    at: Instant,
    delay: Duration,
}

enum Turn {
    Commit,
    Retry,
    Close,
}

impl Writer {
    pub(super) fn open(shared: Arc<Shared>, directory: &Path) -> Result<Writer, OpenError> {
        let place = Place::new(directory, shared.traffic.clone());
        let mut writer = Writer {
            shared,
            place,
            path: directory.join("maestro.redb"),
            schedule: Schedule::default(),
            retry: None,
            on_file: false,
            notice: None,
        };
        if let Some(cause) = writer.reopen()? {
            writer.put_off(&cause, Mode::InRam);
        }
        Ok(writer)
    }

    /// Runs to the end of the daemon. A panic here would leave a daemon that keeps no promise.
    pub(super) fn run_or_abort(mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run())) {
            let what = told_by(&*panic);
            eprintln!("maestro: the storage writer panicked, the daemon ends: {what}");
            std::process::abort();
        }
    }

    fn run(&mut self) {
        loop {
            match self.wait() {
                Turn::Commit => self.commit(),
                Turn::Retry => self.try_again(),
                Turn::Close => return self.close(),
            }
        }
    }

    /// Sleeps until there is something to do. Nothing pending, no trouble: no time-out, no wake-up.
    fn wait(&mut self) -> Turn {
        let shared = self.shared.clone();
        let mut state = shared.state();
        loop {
            let now = clock();
            if state.closing {
                return Turn::Close;
            }
            if let Some(what) = state.stumbled.take() {
                self.note_stumble(&what);
            }
            let due = match state.mode {
                Mode::OnDisk => {
                    if self.commit_is_due(&mut state, now) {
                        return Turn::Commit;
                    }
                    self.schedule.due()
                }
                Mode::InRam | Mode::InTrouble(_) | Mode::Closed => {
                    let at = self.retry.as_ref().map(|retry| retry.at);
                    if at.is_some_and(|at| at <= now) {
                        return Turn::Retry;
                    }
                    at
                }
            };
            state = sleep(&shared, state, due.map(|due| due - now));
        }
    }

    fn commit_is_due(&mut self, state: &mut State, now: Instant) -> bool {
        if let Some(window) = state.asked.take() {
            self.schedule.ask(now, window);
            state.known = Some(state.known.map_or(window, |known| known.min(window)));
        }
        state.flush
            || state.pending.bytes() > EARLY_BYTES
            || self.schedule.due().is_some_and(|due| due <= now)
    }

    fn commit(&mut self) {
        let (rows, waiters) = self.take();
        match self.apply(&rows) {
            Ok(()) => {
                self.shared.state().committing = None;
                tell(waiters, &Ok(()));
            }
            Err(fault) => self.broken(&fault, rows, waiters),
        }
    }

    /// Everything pending, now being committed.
    fn take(&mut self) -> (Arc<Rows>, Vec<Told>) {
        self.schedule.clear();
        let mut state = self.shared.state();
        let (rows, waiters) = state.pending.take();
        let rows = Arc::new(rows);
        state.committing = Some(rows.clone());
        state.asked = None; // whoever asked is in it
        state.known = None;
        state.flush = false;
        (rows, waiters)
    }

    fn apply(&self, rows: &Rows) -> Result<(), Fault> {
        let disk = self.shared.state().disk.clone();
        let disk = disk.ok_or_else(|| Fault::Corrupt("no database".to_owned()))?;
        if disk.apply(rows)? {
            self.shared.commits.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// The disk did not take it: keep the rows, tell whoever waits, open anew, try again later.
    fn broken(&mut self, fault: &Fault, rows: Arc<Rows>, mut waiters: Vec<Told>) {
        let cause = trouble::of_fault(&self.path, fault);
        tracing::error!(path = %self.path.display(), %fault, "store cannot be written");
        if matches!(fault, Fault::Corrupt(_)) {
            self.place.suspect();
        }
        let mut state = self.shared.state();
        state.committing = None;
        state.pending.put_back(Arc::unwrap_or_clone(rows));
        waiters.extend(state.pending.take_waiters());
        if matches!(state.mode, Mode::OnDisk) {
            state.mode = Mode::InTrouble(cause.clone());
        }
        let mode = state.mode.clone();
        drop(state);
        self.put_off(&cause, mode);
        tell(waiters, &Err(trouble::as_unsafe(&cause)));
        if let Err(e) = self.reopen() {
            tracing::error!(error = %e, "store cannot be opened again");
        }
    }

    /// Trouble: says so, and sets the next try.
    fn put_off(&mut self, cause: &contract::Error, mode: Mode) {
        let delay = self.retry.as_ref().map_or(FIRST_DELAY, |r| (r.delay * 2).min(LAST_DELAY));
        self.retry = Some(Retry { at: clock() + delay, delay });
        let mut state = self.shared.state();
        state.mode = match mode {
            Mode::InTrouble(_) => Mode::InTrouble(cause.clone()),
            Mode::OnDisk | Mode::InRam | Mode::Closed => mode,
        };
        state.known = None;
        state.flush = false;
        drop(state);
        self.say(Some(cause.clone()));
    }

    /// Closes redb if it is open, opens it; what stays in the way if it is not on the file then.
    fn reopen(&mut self) -> Result<Option<contract::Error>, OpenError> {
        self.release();
        let opened = self.place.open();
        let (disk, cause) = match opened {
            Ok(Opened::OnDisk { disk, set_aside }) => {
                if set_aside.is_some() {
                    self.notice = set_aside;
                }
                self.on_file = true;
                (Some(disk), None)
            }
            Ok(Opened::InRam { disk, cause }) => {
                self.on_file = false;
                (disk, Some(cause))
            }
            Err(e) => {
                self.settle(None);
                return Err(e);
            }
        };
        self.settle(disk);
        if cause.is_none() && self.retry.is_none() {
            self.say(self.notice.clone());
        }
        Ok(cause)
    }

    /// Takes the database away and waits for the last reader: two on one file would destroy it.
    fn release(&mut self) {
        let mut state = self.shared.state();
        state.reopening = true;
        let disk = state.disk.take();
        drop(state);
        if let Some(mut disk) = disk {
            loop {
                match Arc::try_unwrap(disk) {
                    Ok(last) => break last.close(),
                    Err(shared) => disk = shared,
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn settle(&self, disk: Option<Disk>) {
        let mut state = self.shared.state();
        state.disk = disk.map(Arc::new);
        state.reopening = false;
        drop(state);
        self.shared.reopened.notify_all();
    }

    /// After a delay: does the disk take it now?
    fn try_again(&mut self) {
        if !self.on_file {
            match self.reopen() {
                Ok(None) => {}
                Ok(Some(cause)) => {
                    let mode = self.shared.state().mode.clone();
                    return self.put_off(&cause, mode);
                }
                Err(e) => {
                    let cause = contract::Error::new("storage.failed", e.to_string());
                    let mode = self.shared.state().mode.clone();
                    return self.put_off(&cause, mode);
                }
            }
        }
        let (rows, waiters) = self.take();
        match self.apply(&rows) {
            Ok(()) => {
                let mut state = self.shared.state();
                state.committing = None;
                state.mode = Mode::OnDisk;
                drop(state);
                tell(waiters, &Ok(()));
                self.retry = None;
                tracing::info!(path = %self.path.display(), "store is written again");
                self.say(self.notice.clone());
                // what came in during this commit was told at once and asked for no window
                self.schedule.ask(clock(), super::Window::Promise);
            }
            Err(fault) => self.broken(&fault, rows, waiters),
        }
    }

    fn close(&mut self) {
        let (rows, mut waiters) = self.take();
        let verdict = if self.on_file { self.apply(&rows) } else { Ok(()) };
        let mut state = self.shared.state();
        waiters.extend(state.pending.take_waiters());
        state.mode = Mode::Closed;
        drop(state);
        let verdict = verdict.map_err(|fault| {
            tracing::error!(path = %self.path.display(), %fault, "store cannot be written at the end");
            trouble::as_unsafe(&trouble::of_fault(&self.path, &fault))
        });
        tell(waiters, &verdict);
        self.release();
        self.settle(None);
    }

    fn note_stumble(&mut self, what: &str) {
        tracing::error!(path = %self.path.display(), what, "store has a corrupt page");
        self.place.suspect();
        let cause = contract::Error::new("storage.corrupt", format!("a corrupt page: {what}"))
            .hint("the next start of the daemon verifies the file");
        self.notice = Some(cause.clone());
        if self.retry.is_none() {
            self.say(Some(cause));
        }
    }

    fn say(&self, trouble: Option<contract::Error>) {
        self.shared.status.send_if_modified(|status| {
            let said = Status { trouble };
            let news = *status != said;
            *status = said;
            news
        });
    }
}

fn tell(waiters: Vec<Told>, verdict: &Result<(), Unsafe>) {
    for told in waiters {
        told(verdict.clone());
    }
}

fn sleep<'s>(
    shared: &'s Shared,
    state: MutexGuard<'s, State>,
    timeout: Option<Duration>,
) -> MutexGuard<'s, State> {
    match timeout {
        Some(timeout) => {
            let woken = shared.wake.wait_timeout(state, timeout);
            woken.unwrap_or_else(PoisonError::into_inner).0
        }
        None => shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, outside the one loop")]
fn clock() -> Instant {
    Instant::now()
}
