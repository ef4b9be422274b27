//! References to checkpoints: `experiment/branch#seed@step`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::Name;

/// A checkpoint of an experiment, as written in a file. The branch may be left out where there is one, the seed where
/// the experiment declares none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    pub experiment: Name,
    pub branch: Option<Name>,
    pub seed: Option<u64>,
    pub step: u64,
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Reference, String> {
        let shown = text.escape_default();
        let form = "write `experiment/branch#seed@step`, the branch and the seed only where there are several";
        let (path, step) = text.rsplit_once('@').ok_or(format!("`{shown}` names no step: {form}"))?;
        let step = step.replace('_', "").parse();
        let step = step.map_err(|_| {
            format!("`{shown}` does not end in a whole step: {form} (`@latest` and `@best` work on the command line only)")
        })?;
        let (path, seed) = match path.split_once('#') {
            Some((path, seed)) => {
                let seed = seed.parse().map_err(|_| format!("`{shown}` has no whole number between `#` and `@`: {form}"))?;
                (path, Some(seed))
            }
            None => (path, None),
        };
        let (experiment, branch) = match path.split_once('/') {
            Some((experiment, branch)) => (experiment, Some(Name::try_from(branch)?)),
            None => (path, None),
        };
        Ok(Reference { experiment: Name::try_from(experiment)?, branch, seed, step })
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.experiment)?;
        if let Some(branch) = &self.branch {
            write!(f, "/{branch}")?;
        }
        if let Some(seed) = self.seed {
            write!(f, "#{seed}")?;
        }
        write!(f, "@{}", self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_being_written_and_read() {
        for text in ["a@600", "a/b@0", "a#3@7", "a/b#3@15000"] {
            assert_eq!(Reference::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        assert_eq!(Reference::try_from("a@15_000".to_owned()).unwrap().step, 15_000);
        for bad in ["a", "a@", "a@latest", "@5", "a/@5", "../a@5", "a#x@5", "a@-1", "a@1.5"] {
            assert!(Reference::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
