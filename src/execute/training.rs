//! The loop of a segment: updates, log lines, checkpoints, evaluations and probes, until its end or a signal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use super::again::Again;
use super::events::Event;
use super::executor::{Stepped, Trainee};
use super::memory::memory;
use super::rolling::Rolling;
use super::run::{Job, Shared};
use super::segment::{End, Trouble, subject};
use crate::history::Id;
use crate::plan::{Keep, Segment};
use crate::record::{Ledger, MetricsRow, Numerics, ParentDigest, Probe, State, Timing};
use crate::store::{self, Found, Live};

/// How long the live files may lag behind.
const FLUSH: Duration = Duration::from_millis(500);

/// Where training goes on, and with what.
pub(super) struct Begin<'a> {
    /// Updates behind the state.
    pub from: u64,
    /// The checkpoint of that state; `None` is the root's first weights.
    pub start: Option<&'a Found>,
    pub folder: PathBuf,
    /// Where the bits of every update are kept: an empty one, chained to those before it.
    pub ledger: Option<Ledger>,
    pub live: Live,
}

/// What has been trained since the last checkpoint.
#[derive(Default)]
struct Piece {
    parent: Option<ParentDigest>,
    metrics: Vec<u8>,
    timing: Vec<u8>,
    probes: Vec<Probe>,
}

/// Lines that have not reached the live files yet.
#[derive(Default)]
struct Unwritten {
    metrics: Vec<u8>,
    timing: Vec<u8>,
}

/// A segment while it is being trained.
pub(super) struct Training<'a> {
    job: &'a Job<'a>,
    segment: &'a Segment,
    index: usize,
    shared: &'a Shared,
    folder: PathBuf,
    numerics: Numerics,
    /// What earlier attempts lost.
    again: Again,
    /// Checkpoints of this edge that only guard against crashes.
    rolling: Rolling,
    piece: Piece,
    /// Bits of every update since the last checkpoint, where they are kept.
    ledger: Option<Ledger>,
    unwritten: Unwritten,
    began: Instant,
    flushed: Instant,
    flushed_step: u64,
    /// Updates behind the state.
    step: u64,
    live: Live,
}

impl<'a> Training<'a> {
    pub fn new(job: &'a Job<'a>, index: usize, shared: &'a Shared, begin: Begin<'_>) -> Training<'a> {
        let Begin { from, start, folder, ledger, live } = begin;
        let mut training = Training {
            job,
            segment: &job.plan.segments[index],
            index,
            shared,
            again: Again::new(job.store, &folder, from),
            folder,
            numerics: job.executor.numerics(),
            rolling: Rolling::default(),
            piece: Piece { parent: start.map(parent_of), ..Piece::default() },
            ledger,
            unwritten: Unwritten::default(),
            began: Instant::now(),
            flushed: Instant::now(),
            flushed_step: from,
            step: from,
            live,
        };
        training.look_back();
        training
    }

    /// Trains until the end, or until it is stopped.
    pub fn work(mut self, mut trainee: Box<dyn Trainee>) -> Result<End, Trouble> {
        let ended = self.steps(&mut *trainee);
        match &ended {
            Ok(_) => self.live.finish().map_err(Trouble::Store)?,
            Err(trouble) => {
                // The evidence stays; that the disk may be full must not hide the first trouble.
                let _ = self.flush(None);
                let failed = matches!(trouble, Trouble::Failed(_)).then(|| trouble.to_string());
                let _ = self.live.keep(failed.as_deref());
            }
        }
        ended
    }

    fn steps(&mut self, trainee: &mut dyn Trainee) -> Result<End, Trouble> {
        while self.step < self.segment.to() {
            let read = self.is_logged(self.step);
            let stepped = trainee.step(read, self.job.stop).map_err(Trouble::Failed)?;
            let Stepped::Done(measured) = stepped else { return self.interrupt(trainee) };
            self.job.events.on(Event::Step {
                segment: self.segment,
                index: self.index,
                step: self.step,
                measured: measured.as_ref(),
            });
            if let Some(measured) = measured.filter(|_| read) {
                self.log(&MetricsRow::new(&self.segment.history.at(self.step), &measured));
                self.note_entries(trainee)?;
            }
            self.step += 1;
            self.shared.steps.fetch_add(1, Ordering::Relaxed);
            if self.flushed.elapsed() > FLUSH {
                self.flush(trainee.device_memory())?;
            }
            let save = self.segment.save_at(self.step).is_some();
            let evaluate = self.segment.evaluate.contains(&self.step);
            let probe = self.segment.probe.contains(&self.step);
            if save || evaluate || probe {
                let state = trainee.state().map_err(Trouble::Failed)?;
                if probe && !self.probe(&state)? {
                    return self.interrupt(trainee);
                }
                if save {
                    self.save(trainee, &state)?;
                }
                if evaluate && !self.job.evaluate(Some(self.segment), &subject(self.segment, self.step, &state), self.shared)? {
                    return self.interrupt(trainee);
                }
                self.note_score(self.step);
                self.thin()?;
            }
            if (self.job.stop)() && self.step < self.segment.to() {
                return self.interrupt(trainee);
            }
        }
        Ok(End::Reached)
    }

    /// Steps that are logged: a function of the history and the step alone, so that cuts leave no trace.
    fn is_logged(&self, step: u64) -> bool {
        step.is_multiple_of(self.segment.log_every) || self.segment.history.is_edge(step)
    }

    fn log(&mut self, row: &MetricsRow) {
        let mut line = serde_json::to_vec(row).expect("rows can be written as JSON");
        line.push(b'\n');
        self.piece.metrics.extend(&line);
        self.unwritten.metrics.extend(&line);
        self.again.saw(row.step, &line);
    }

    /// Adds a line of timing and writes what can be followed live.
    fn flush(&mut self, device_memory_bytes: Option<u64>) -> Result<(), Trouble> {
        let steps = (self.step - self.flushed_step).max(1);
        let timing = Timing {
            step: self.step,
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            elapsed_seconds: self.began.elapsed().as_secs_f64(),
            seconds_per_step: self.flushed.elapsed().as_secs_f64() / steps as f64,
            memory_bytes: memory(),
            device_memory_bytes,
        };
        let mut line = serde_json::to_vec(&timing).expect("timings can be written as JSON");
        line.push(b'\n');
        self.piece.timing.extend(&line);
        self.unwritten.timing.extend(&line);
        self.live.append(&self.unwritten.metrics, &self.unwritten.timing).map_err(Trouble::Store)?;
        self.unwritten = Unwritten::default();
        (self.flushed, self.flushed_step) = (Instant::now(), self.step);
        Ok(())
    }

    /// Takes over what the trainee has noted of its updates.
    fn note_entries(&mut self, trainee: &mut dyn Trainee) -> Result<(), Trouble> {
        if let Some(ledger) = &mut self.ledger {
            trainee.entries().map_err(Trouble::Failed)?.iter().for_each(|entry| ledger.push(entry));
        }
        Ok(())
    }

    /// Probes the loss; false where it was stopped.
    fn probe(&mut self, state: &State) -> Result<bool, Trouble> {
        match self.job.probe(&subject(self.segment, self.step, state), self.shared) {
            Ok(probe) => self.piece.probes.extend(probe),
            Err(None) => return Ok(false),
            Err(Some(trouble)) => return Err(trouble),
        }
        Ok(true)
    }

    fn save(&mut self, trainee: &mut dyn Trainee, state: &State) -> Result<(), Trouble> {
        self.note_entries(trainee)?;
        let ledger = self.ledger.as_mut().map(|ledger| {
            ledger.end(state);
            let bytes = ledger.encode();
            *ledger = ledger.next();
            bytes
        });
        let history = self.segment.history.cut(self.step);
        let probes = std::mem::take(&mut self.piece.probes);
        self.job.keep_probes(self.segment.owner.experiment(), history.id(), probes)?;
        let segment = store::Segment {
            history: &history,
            parent: self.piece.parent.take(),
            numerics: &self.numerics,
            metrics: &self.piece.metrics,
            ledger: ledger.as_deref(),
            timing: &self.piece.timing,
        };
        let committed = self.job.store.commit(&self.folder, &segment, state).map_err(Trouble::Store)?;
        self.piece = Piece { parent: Some(parent_of(&committed.found)), ..Piece::default() };
        self.note_rolling(&committed.found);
        self.shared.note(committed.found);
        self.live.saved(self.step).map_err(Trouble::Store)?;
        self.unwritten = Unwritten::default();
        self.job.events.on(Event::Saved { segment: self.segment, step: self.step });
        for text in self.again.settle(self.job.store, self.step).map_err(Trouble::Store)? {
            self.job.events.on(Event::Warning(text));
        }
        Ok(())
    }

    /// Stopped by a signal: the state is saved as it is.
    fn interrupt(&mut self, trainee: &mut dyn Trainee) -> Result<End, Trouble> {
        let start = self.piece.parent.as_ref().map_or(self.segment.history.start(), |parent| parent.step);
        if self.step > start {
            let state = trainee.state().map_err(Trouble::Failed)?;
            self.save(trainee, &state)?;
        }
        Ok(End::Interrupted(self.step))
    }

    /// Takes the tensors of all but the last few checkpoints that nothing else keeps.
    fn thin(&mut self) -> Result<(), Trouble> {
        for found in self.rolling.surplus() {
            self.job.store.thin(&found).map_err(Trouble::Store)?;
            self.shared.note(Found { has_tensors: false, ..found });
        }
        Ok(())
    }

    /// What earlier attempts have left on this edge.
    fn look_back(&mut self) {
        let found = self.shared.found.lock().unwrap_or_else(PoisonError::into_inner);
        let here = found.values().filter(|found| found.has_tensors && found.path.parent() == Some(&self.folder));
        let edge = self.segment.begins + 1..=self.step;
        let mut here: Vec<Found> = here.filter(|found| edge.contains(&found.manifest.step)).cloned().collect();
        drop(found);
        // What leaves share lies in one folder, also of other seeds.
        let steps: BTreeSet<u64> = here.iter().map(|found| found.manifest.step).collect();
        let own: BTreeSet<Id> = self.segment.history.ids(steps).into_iter().collect();
        here.retain(|found| own.contains(&found.manifest.id));
        here.iter().for_each(|found| self.note_rolling(found));
        let saves: Vec<u64> = self.segment.saves.iter().map(|save| save.step).take_while(|step| *step <= self.step).collect();
        saves.into_iter().for_each(|step| self.note_score(step));
    }

    /// Takes note of a checkpoint, if nothing keeps it for good.
    fn note_rolling(&mut self, found: &Found) {
        let (id, step) = (found.manifest.id, found.manifest.step);
        let lasting = self.segment.save_at(step).is_some_and(|save| save.id == id && save.keep > Keep::Rolling);
        if !lasting && !self.job.planned_parents.contains(&id) && !self.job.plan.kept.contains(&id) {
            self.rolling.add(found.clone());
        }
    }

    /// Takes note of what the checkpoint that is saved at a step scored, if it is the metric by which the best is chosen.
    fn note_score(&mut self, step: u64) {
        if let Some((id, score)) = self.score(step) {
            self.rolling.scored(id, score);
        }
    }

    fn score(&self, step: u64) -> Option<(Id, f64)> {
        let id = self.segment.save_at(step)?.id;
        let experiment = self.segment.owner.experiment();
        let (set, metric) = self.job.best.get(experiment)?;
        let digest = &self.job.material.sets.get(experiment)?.iter().find(|known| known.name == *set)?.digest;
        let evaluations = self.shared.evaluations.lock().unwrap_or_else(PoisonError::into_inner);
        Some((id, evaluations.get(&(id, digest.clone()))?.scores.summary.all.named(metric)?))
    }
}
fn parent_of(found: &Found) -> ParentDigest {
    ParentDigest { id: found.manifest.id, step: found.manifest.step, tensors: found.manifest.tensors.clone() }
}
