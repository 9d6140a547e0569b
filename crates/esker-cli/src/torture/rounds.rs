//! The rounds.
//!
//! Owns what is done to the processes, and when, and what is counted. Refuses to say anything about it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Trouble, args::Torture, look, model::Model, rng::Rng, sabotage, said::Said, victim::Victim};
use crate::ending::Failure;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) rounds: u64,
    pub(super) logs: u64,
    pub(super) kills_opening: u64,
    pub(super) kills_working: u64,
    pub(super) kills_closing: u64,
    pub(super) closes: u64,
    pub(super) stops: u64,
    pub(super) races: u64,
    pub(super) truncations: u64,
    /// Openings for writing that succeeded, the parent's included.
    pub(super) openings: u64,
    pub(super) acknowledged: u64,
    /// Of the acknowledged records.
    pub(super) bytes: u64,
    /// Records that were found and compared.
    pub(super) compared: u64,
}

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Kill a process while it opens the log.
    KillOpening,
    /// Kill one while it works.
    Kill,
    /// Kill one while it closes the log.
    KillClosing,
    /// Let one close the log.
    Close,
    /// Stop one, look at the log, and let it go on before it is killed.
    Stop,
    /// Let two race for the log, and kill who has won.
    Race,
}

impl Plan {
    fn draw(rng: &mut Rng) -> Self {
        match rng.below(20) {
            0..6 => Self::KillOpening,
            6 | 7 => Self::Stop,
            8 | 9 => Self::Race,
            10 => Self::Close,
            11 => Self::KillClosing,
            _ => Self::Kill,
        }
    }
}

/// The state between rounds.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    args: &'a Torture,
    seed: u64,
    rng: Rng,
    lives: u32,
    /// Where the present log is: one directory for each, so that what is left of a violation is that alone.
    dir: PathBuf,
    model: Model,
    /// How long opening took lately.
    opening: Duration,
    pub(super) tally: Tally,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(args: &'a Torture, seed: u64) -> Self {
        Self {
            args,
            seed,
            rng: Rng::of(&[seed]),
            lives: 0,
            dir: PathBuf::new(),
            model: Model::default(),
            opening: Duration::from_millis(5),
            tally: Tally::default(),
        }
    }

    /// The directory of the present log.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs the next round.
    pub(super) fn next(&mut self) -> Result<(), Trouble> {
        if self.tally.rounds == 0 || self.rng.one_in(50) {
            self.begin_log()?;
        }
        let plan = Plan::draw(&mut self.rng);
        match plan {
            Plan::Race => self.race()?,
            _ => self.torture(plan)?,
        }
        self.tally.rounds += 1;
        self.check()
    }

    /// Leaves the log and begins another.
    fn begin_log(&mut self) -> Result<(), Trouble> {
        if self.tally.logs > 0 {
            let removed = fs::remove_dir_all(&self.dir);
            removed.map_err(|error| Failure::io(self.dir.display(), &error))?;
        }
        self.dir = self.args.dir.join(format!("log-{}", self.tally.logs));
        fs::create_dir_all(&self.dir).map_err(|error| Failure::io(self.dir.display(), &error))?;
        self.tally.logs += 1;
        self.model = Model::default();
        Ok(())
    }

    fn start(&mut self) -> Result<Victim, Trouble> {
        self.lives += 1;
        Victim::start(self.args, &self.dir, self.seed, self.lives)
    }

    fn torture(&mut self, plan: Plan) -> Result<(), Trouble> {
        let mut victim = self.start()?;
        if plan == Plan::KillOpening {
            victim.wait_for(&mut self.model, "a start", |said| *said == Said::Start)?;
            // Openings take longer or shorter; beyond the average it is work that is hit, mostly.
            self.sleep_up_to(self.opening * 3 / 4);
            return self.kill(victim);
        }
        self.wait_for_open(&mut victim)?;
        self.work();
        match plan {
            Plan::Close => {
                let victim = victim.end(&mut self.model)?;
                self.tally.closes += 1;
                self.count(&victim);
                Ok(())
            }
            Plan::KillClosing => {
                victim.close();
                self.sleep_up_to(self.opening);
                let victim = victim.kill(&mut self.model)?;
                self.tally.kills_closing += 1;
                self.count(&victim);
                Ok(())
            }
            Plan::Stop => {
                self.stop(&mut victim)?;
                self.work();
                self.kill(victim)
            }
            _ => self.kill(victim),
        }
    }

    fn wait_for_open(&mut self, victim: &mut Victim) -> Result<(), Trouble> {
        victim.wait_for(&mut self.model, "an open log", |said| matches!(said, Said::Open { .. }))?;
        self.opened(victim);
        Ok(())
    }

    fn opened(&mut self, victim: &Victim) {
        if let (Some(started), Some(opened)) = (victim.started, victim.opened) {
            self.opening = (self.opening * 3 + (opened - started)) / 4;
        }
    }

    /// Lets some time pass: mostly a little, at times enough to fill some segments.
    fn work(&mut self) {
        let longest_ms = [2, 10, 30, 100][self.rng.below(4) as usize];
        self.sleep_up_to(Duration::from_millis(longest_ms));
    }

    fn sleep_up_to(&mut self, longest: Duration) {
        let nanos = self.rng.below(longest.as_nanos() as u64 + 1);
        let until = Instant::now() + Duration::from_nanos(nanos);
        // A sleep may take longer by more than some openings do.
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if left > Duration::from_millis(1) {
                thread::sleep(left - Duration::from_millis(1));
            } else {
                thread::yield_now();
            }
        }
    }

    fn kill(&mut self, victim: Victim) -> Result<(), Trouble> {
        let victim = victim.kill(&mut self.model)?;
        if victim.opened.is_some() {
            self.tally.kills_working += 1;
        } else {
            self.tally.kills_opening += 1;
        }
        self.count(&victim);
        Ok(())
    }

    fn count(&mut self, victim: &Victim) {
        self.tally.openings += u64::from(victim.opened.is_some());
        self.tally.truncations += victim.truncations;
        self.tally.acknowledged += victim.acknowledged;
        self.tally.bytes += victim.bytes;
    }

    /// Stops the process amid its work. Meanwhile a reader finds what was acknowledged, and nobody else gets the log.
    /// Afterwards the process goes on.
    fn stop(&mut self, victim: &mut Victim) -> Result<(), Trouble> {
        #[cfg(unix)]
        victim.pause()?;
        // What it had said before may still be on its way; what has arrived must be there.
        self.sleep_up_to(Duration::from_millis(5));
        victim.listen(&mut self.model)?;
        #[cfg(unix)]
        {
            self.look(false)?;
            look::expect_locked(&self.dir)?;
            victim.resume()?;
        }
        victim.ping(&mut self.model)?;
        self.tally.stops += 1;
        Ok(())
    }

    /// Two processes open the log at once: one gets it, and the other is told that it is locked.
    fn race(&mut self) -> Result<(), Trouble> {
        let mut racers = [self.start()?, self.start()?];
        for racer in &mut racers {
            let decided = |said: &Said| matches!(said, Said::Open { .. } | Said::Locked);
            racer.wait_for(&mut self.model, "an open log or a locked one", decided)?;
        }
        let [one, other] = racers;
        let (winner, loser) = if other.locked { (one, other) } else { (other, one) };
        if winner.locked || !loser.locked {
            let who = if winner.locked { "neither" } else { "both" };
            return Err(Trouble::Violation(format!("{who} of two processes that opened the log at once got it")));
        }
        self.opened(&winner);
        loser.end(&mut self.model)?;
        self.tally.races += 1;
        self.work();
        self.kill(winner)
    }

    /// Looks at what is left, and takes it as the beginning of the next round.
    fn check(&mut self) -> Result<(), Trouble> {
        if let (Some(kind), Some(lsn), 4..) = (self.args.sabotage, self.model.last_known(), self.tally.rounds) {
            sabotage::damage(&self.dir, kind, lsn)?;
        }
        self.look(true)
    }

    fn look(&mut self, is_final: bool) -> Result<(), Trouble> {
        let Some(found) = look::read(&self.dir, self.seed)? else {
            if self.model.opened() {
                return Err(Trouble::Violation("there is no log where one was open".to_owned()));
            }
            return Ok(());
        };
        self.model.check(&found).map_err(Trouble::Violation)?;
        self.tally.compared += found.records.len() as u64;
        if is_final {
            if self.tally.rounds.is_multiple_of(2) {
                look::write(&self.dir, self.seed, &mut self.rng, &found)?;
                self.tally.openings += 1;
            }
            self.model.adopt(found);
        }
        Ok(())
    }
}
