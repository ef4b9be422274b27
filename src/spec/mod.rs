//! What people write: the types of the RON files, field by field, and the rules a file can break on its own.
//!
//! A file is read in two steps. [`parse`] turns text into a value and stops at the first error of grammar or type. Then
//! every value checks itself and reports all broken rules with their [`Place`]; an [`Outline`] of the text turns places
//! into lines and columns. Nothing here reads files or knows other files: that is `load`'s and `lineage`'s part.

mod branch;
mod curriculum;
mod decide;
mod experiment;
mod findings;
mod in_run;
mod name;
mod outline;
mod parent;
mod parse;
mod recorded;
mod reference;
mod source;
mod training;
mod validation;

pub use branch::{Branch, Change, CurriculumChoice};
pub use curriculum::{Curriculum, Stage, StageData};
pub use decide::Decide;
pub use experiment::{Experiment, IMPLIED_BRANCH, Library};
pub use findings::{Findings, Place};
pub use in_run::InRun;
pub use name::{Name, closest};
pub use outline::Outline;
pub use parent::{Imported, Parent, Scratch};
pub use parse::{MAX_BYTES, Problem, options, parse, render_ron};
pub use recorded::{Recorded, RecordedEnd};
pub use reference::Reference;
pub use source::{Mgf, MgfSet, Part, Source};
pub use training::{Model, Optimizer, Precision, Rate, Supervision, Training};
pub use validation::{Validation, ValidationData};
