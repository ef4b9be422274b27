//! What the runner itself keeps in a run's folder, beside the folders of its branches: no branch can be called so.

use super::name::Name;

/// A file or folder of the runner's own in `runs/<experiment>/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InRun {
    /// What several leaves share.
    Shared,
    Evaluations,
    Probes,
    /// Files for TensorBoard.
    Boards,
    /// The status of the run and the story of its attempts.
    Record,
    /// The report's page.
    Page,
    ComparisonJson,
    ComparisonCsv,
}

impl InRun {
    pub const ALL: [InRun; 8] = [
        InRun::Shared,
        InRun::Evaluations,
        InRun::Probes,
        InRun::Boards,
        InRun::Record,
        InRun::Page,
        InRun::ComparisonJson,
        InRun::ComparisonCsv,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            InRun::Shared => "shared",
            InRun::Evaluations => "evaluations",
            InRun::Probes => "probes",
            InRun::Boards => "tensorboard",
            InRun::Record => "record.json",
            InRun::Page => "report.html",
            InRun::ComparisonJson => "comparison.json",
            InRun::ComparisonCsv => "comparison.csv",
        }
    }

    fn words(self) -> &'static str {
        match self {
            InRun::Shared => "the folder of what several leaves share",
            InRun::Evaluations => "the folder of a run's evaluations",
            InRun::Probes => "the folder of a run's probes of the loss",
            InRun::Boards => "the folder of a run's files for TensorBoard",
            InRun::Record => "the file of a run's status and attempts",
            InRun::Page => "the file of a run's report",
            InRun::ComparisonJson | InRun::ComparisonCsv => "the file of a run's comparison",
        }
    }
}

/// The ending of experiments' files, and of the one that is saved in a run.
const SAVED: &str = ".ron";

/// What stands in a branch's way, where it is called as something of the runner's own; also where only the case differs, as
/// some systems do not tell cases apart.
pub(super) fn clash(branch: &Name) -> Option<String> {
    let folded = branch.folded();
    match InRun::ALL.into_iter().find(|own| own.name() == folded) {
        Some(own) => Some(format!("`{}` is {}", own.name(), own.words())),
        None if folded.ends_with(SAVED) => Some(format!("`{branch}` ends as the file does that is saved in a run")),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_not_called_as_what_the_runner_writes() {
        let clash = |name: &str| clash(&Name::try_from(name).unwrap());
        for own in InRun::ALL {
            assert!(clash(own.name()).is_some(), "{own:?}");
            assert_eq!(clash(&own.name().to_uppercase()), clash(own.name()));
        }
        assert_eq!(clash("probes").unwrap(), "`probes` is the folder of a run's probes of the loss");
        assert!(clash("early.ron").is_some());
        for free in ["early", "probe", "shared2", "record", "lost-1"] {
            assert_eq!(clash(free), None);
        }
    }
}
