//! Finds the plan that `chaos replay` shall run again. It plays nothing.

use crate::error::{AtPath, Error, Result};
use crate::plan::{self, Plan};
use std::path::{Path, PathBuf};

/// The file of a run's plan, in its result folder.
pub(crate) const PLAN_FILE: &str = "plan.json";

/// The plan of a result folder, or of a file; with `trial`, only that one of it.
pub(crate) fn plan(path: &Path, trial: Option<usize>) -> Result<Plan> {
    let path = file(path);
    let text = std::fs::read_to_string(&path).at(&path)?;
    let mut plan: Plan = serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
    if plan.schema != plan::SCHEMA {
        return Err(Error::Schema { path, found: plan.schema, expected: plan::SCHEMA });
    }
    if let Some(number) = trial {
        let numbers = plan.trials.iter().map(|one| one.number.to_string()).collect::<Vec<_>>().join(", ");
        plan.trials.retain(|one| one.number == number);
        if plan.trials.is_empty() {
            return Err(Error::Usage(format!("--trial {number}: {} has the trials {numbers}", path.display())));
        }
    }
    Ok(plan)
}

fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(PLAN_FILE) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Request, expand};

    #[test]
    fn a_folder_or_a_file_and_one_trial_of_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let expected = expand(&Request::of("quick", 3));
        let write = |plan: &Plan| {
            let text = serde_json::to_string(plan).expect("plans are plain data");
            std::fs::write(folder.path().join(PLAN_FILE), text).expect("the folder is ours");
        };
        write(&expected);
        assert_eq!(plan(folder.path(), None).expect("it was written"), expected);
        let one = plan(&folder.path().join(PLAN_FILE), Some(5)).expect("it has five");
        assert_eq!(one.trials, [expected.trials[4].clone()]);
        assert!(matches!(plan(folder.path(), Some(500)), Err(Error::Usage(_))));
        write(&Plan { schema: "other/1".to_owned(), ..expected });
        assert!(matches!(plan(folder.path(), None), Err(Error::Schema { .. })));
        assert!(matches!(plan(Path::new("/no/such/folder"), None), Err(Error::File { .. })));
    }
}
