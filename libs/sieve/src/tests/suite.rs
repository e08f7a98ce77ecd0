//! Pigeonhole's own test scripts, where they lie beside the project: data only, nothing of them is here.

use super::suite_world::{SuiteWorld, offer};
use crate::compile;
use std::path::{Path, PathBuf};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "svtest")
            {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

#[test]
fn pigeonholes_scripts_pass_but_for_those_that_are_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites/sieve/tests");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for path in scripts(&folder) {
        let name = path
            .strip_prefix(&folder)
            .expect("in the folder")
            .display()
            .to_string();
        let source = std::fs::read_to_string(&path).expect("a readable file");
        let script = match compile(&source, &offer(true)) {
            Ok(script) => script,
            Err(complaints) => {
                println!(
                    "{name}: does not compile: {}",
                    complaints.to_string().lines().next().unwrap_or_default()
                );
                failed += 1;
                continue;
            }
        };
        let mut world = SuiteWorld::new(path.parent().expect("a folder"));
        if let Some(why) = world.run(&script) {
            println!("{name}: {why}");
            failed += 1;
        }
        for (test, why) in &world.failed {
            println!("{name}: {test}: {why}");
        }
        passed += world.passed.len();
        failed += world.failed.len();
    }
    println!("{passed} passed, {failed} failed");
    assert!(passed >= 444);
}
