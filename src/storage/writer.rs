//! The hands of the store: the one thread that commits, mends and rests.
//!
//! ```text
//!            a window ends: commit
//!            +--------+             trouble: look again after a delay, sooner when a write was held
//!            v        | done        back                       |
//!   open --> wait ----+------------------------------------> mend
//!            ^  ^     | nothing for minutes: give RAM back     |
//!            |  +-- rest                                       |
//!            +-------------------------------------------------+
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::engine::{Engine, Sizes};
use super::pending::{Schedule, Told};
use super::place::Place;
use super::rows::Layer;
use super::shared::{EARLY_BYTES, Shared, State};
use super::tree::{Fault, told_by};
use super::view::Health;
use super::{OpenError, Status, Unsafe, trouble};

/// The first try after trouble; doubles with each. A full disk often is so for a moment.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest: service is back this soon after space is, at the cost of a wake-up.
const LAST_DELAY: Duration = Duration::from_secs(30);
/// After so long without a commit the store is at rest.
const REST: Duration = Duration::from_secs(5 * 60);

pub(super) struct Writer {
    shared: Arc<Shared>,
    engine: Engine<Place>,
    schedule: Schedule,
    retry: Option<Retry>,
    /// When to rest; nothing was committed since the last rest if there is none.
    rest_at: Option<Instant>,
}

struct Retry {
    at: Instant,
    last: Instant,
    delay: Duration,
}

enum Turn {
    Commit,
    Mend,
    Rest,
    Verify(Fault),
    Close,
}

impl Writer {
    pub(super) fn open(shared: Arc<Shared>, directory: &Path) -> Result<Writer, OpenError> {
        let place = Place::new(directory, shared.traffic.clone());
        let engine = Engine::with(place, Sizes::default(), shared.view.clone())?;
        // what was replayed is worth a rest as what is committed
        let rest_at = Some(clock() + REST);
        let mut writer =
            Writer { shared, engine, schedule: Schedule::default(), retry: None, rest_at };
        writer.look();
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
                Turn::Mend => self.engine.mend(),
                Turn::Rest => self.engine.rest(),
                Turn::Verify(stumble) => self.engine.verify(&stumble),
                Turn::Close => break,
            }
            self.look();
        }
        self.close();
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
            if let Some(stumble) = shared.view.take_stumble() {
                return Turn::Verify(stumble);
            }
            if self.commit_is_due(&mut state, now) {
                return Turn::Commit;
            }
            if self.mending_is_due(&mut state, now) {
                return Turn::Mend;
            }
            if self.rest_at.is_some_and(|at| at <= now) {
                self.rest_at = None;
                return Turn::Rest;
            }
            let retry_at = self.retry.as_ref().map(|retry| retry.at);
            let due = [self.schedule.due(), retry_at, self.rest_at].into_iter().flatten().min();
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

    /// A write that was held back makes the next look nearer, though not a storm of looks.
    fn mending_is_due(&mut self, state: &mut State, now: Instant) -> bool {
        let nudged = std::mem::take(&mut state.nudged);
        let Some(retry) = &mut self.retry else { return false };
        if nudged {
            retry.at = retry.at.min(retry.last + FIRST_DELAY);
        }
        retry.at <= now
    }

    fn commit(&mut self) {
        let (rows, waiters) = self.take();
        let done = self.engine.commit(&rows);
        self.shared.state().committing = None;
        self.rest_at = Some(clock() + REST);
        self.look(); // whoever is told looks at the status next
        tell(waiters, &done.map_err(|cause| trouble::as_unsafe(&cause)));
    }

    /// Everything pending, now being committed.
    fn take(&mut self) -> (Arc<Layer>, Vec<Told>) {
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

    /// Says how the engine is, and sets the next look while it is in trouble.
    fn look(&mut self) {
        let well = self.engine.health() == Health::Well;
        let now = clock();
        self.retry = match self.retry.take() {
            _ if well => None,
            None => Some(Retry { at: now + FIRST_DELAY, last: now, delay: FIRST_DELAY }),
            Some(retry) if retry.at > now => Some(retry), // another turn than a look
            Some(retry) => {
                let delay = (retry.delay * 2).min(LAST_DELAY);
                Some(Retry { at: now + delay, last: now, delay })
            }
        };
        let trouble = self.engine.trouble();
        self.shared.status.send_if_modified(|status| {
            let said = Status { trouble };
            let news = *status != said;
            *status = said;
            news
        });
    }

    fn close(&mut self) {
        self.engine.mend(); // the last chance of what was held
        let (rows, waiters) = self.take();
        let done = self.engine.commit(&rows);
        let mut state = self.shared.state();
        state.committing = None;
        state.closed = true;
        let (_, late) = state.pending.take();
        drop(state);
        let verdict: Result<(), Unsafe> = done.map_err(|cause| {
            tracing::error!(%cause, "store cannot be written at the end");
            trouble::as_unsafe(&cause)
        });
        tell(waiters, &verdict);
        tell(late, &Err(trouble::closed()));
        self.engine.close();
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
