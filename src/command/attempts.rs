//! The record of an attempt to bring an experiment to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use super::Fault;
use crate::execute::Outcome;
use crate::record::{Attempt, FORMAT, RunRecord, Status};
use crate::spec::Name;
use crate::store::Store;

/// The attempt that is under way, in the records of all experiments it works on.
pub(super) struct Attempts {
    pub target: Name,
    pub names: BTreeSet<Name>,
    pub attempt: Attempt,
}

impl Attempts {
    /// Adds the attempt to a run's record, or brings it up to date. Under a lock: several runners may share a run.
    pub fn write(&self, store: &Store, name: &Name) -> Result<(), Fault> {
        let lock_name = format!("record-{name}");
        let _lock = loop {
            match store.lock(&lock_name)? {
                Some(lock) => break lock,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let fresh = RunRecord { format: FORMAT, status: Status::Incomplete, attempts: vec![] };
        let mut record = store.run_record(name)?.unwrap_or(fresh);
        let same = |known: &&mut Attempt| (&known.started, &known.command) == (&self.attempt.started, &self.attempt.command);
        match record.attempts.iter_mut().rev().find(same) {
            Some(known) => *known = self.attempt.clone(),
            None => record.attempts.push(self.attempt.clone()),
        }
        record.status = self.attempt.status;
        Ok(store.save_run_record(name, &record)?)
    }

    /// `is_done` says whether an experiment has nothing left: its ancestors are trained only as far as the target needs them.
    pub fn end(
        mut self,
        store: &Store,
        status: Status,
        outcome: &Outcome,
        is_done: &dyn Fn(&Name) -> bool,
    ) -> Result<(), Fault> {
        self.attempt.ended = Some(now());
        self.attempt.steps_trained = outcome.steps_trained;
        self.attempt.failures = outcome.failures.clone();
        for name in &self.names {
            self.attempt.status = match status {
                Status::Complete if *name != self.target && !is_done(name) => Status::Incomplete,
                other => other,
            };
            self.write(store, name)?;
        }
        Ok(())
    }
}

/// The time, as records have it.
pub(super) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}
