//! Who depends on whom: `floors.toml` against the manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// `floors.toml`, as it is written.
#[derive(Deserialize)]
pub(crate) struct Rules {
    floors: BTreeMap<String, Vec<String>>,
    outside: Outside,
    sideways: BTreeMap<String, Vec<String>>,
    pub(crate) pure: Pure,
    owners: BTreeMap<String, Vec<String>>,
    pub(crate) words: BTreeMap<String, Vec<String>>,
    pub(crate) files: Files,
}

#[derive(Deserialize)]
struct Outside {
    crates: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Pure {
    floors: Vec<u8>,
    forbidden: Vec<String>,
    pub(crate) words: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Files {
    pub(crate) lines_max: usize,
}

impl Rules {
    pub(crate) fn load(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("floors.toml");
        let text = std::fs::read_to_string(&path).context("floors.toml cannot be read")?;
        toml::from_str(&text).context("floors.toml is not right")
    }

    fn floor(&self, name: &str) -> Option<u8> {
        let (floor, _) = self
            .floors
            .iter()
            .find(|(_, crates)| crates.iter().any(|known| known == name))?;
        floor.parse().ok()
    }

    fn is_outside(&self, name: &str) -> bool {
        self.outside.crates.iter().any(|known| known == name)
    }

    fn is_pure(&self, name: &str) -> bool {
        self.floor(name)
            .is_some_and(|floor| self.pure.floors.contains(&floor))
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

fn metadata(root: &Path) -> anyhow::Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo cannot be started")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata gave something unexpected")
}

/// All findings about dependencies, names and folders.
pub(crate) fn check(root: &Path, rules: &Rules) -> anyhow::Result<Vec<String>> {
    let metadata = metadata(root)?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        check_package(root, rules, package, &mut findings);
    }
    for known in rules.floors.values().flatten() {
        if !metadata
            .packages
            .iter()
            .any(|package| package.name == *known)
        {
            findings.push(format!(
                "floors.toml: there is no crate {known}; take its name out"
            ));
        }
    }
    Ok(findings)
}

fn check_package(root: &Path, rules: &Rules, package: &Package, findings: &mut Vec<String>) {
    let name = &package.name;
    let folder = package.manifest_path.parent().unwrap_or(root);
    let shown = folder.strip_prefix(root).unwrap_or(folder).display();
    if folder.file_name().is_none_or(|last| last != name.as_str()) {
        findings.push(format!(
            "{shown}: the folder is not called like its crate {name}"
        ));
    }
    if rules.is_outside(name) {
        return;
    }
    let Some(floor) = rules.floor(name) else {
        findings.push(format!(
            "{shown}: crate {name} has no floor; give it one in floors.toml"
        ));
        return;
    };
    if folder.starts_with(root.join("libs")) != rules.is_pure(name) {
        findings.push(format!(
            "{shown}: pure crates live in libs/, the others in crates/; {name} is on floor {floor}"
        ));
    }
    if !manifest_inherits_lints(&package.manifest_path) {
        findings.push(format!(
            "{shown}/Cargo.toml: add `[lints] workspace = true`, which forbids unsafe code"
        ));
    }
    for dependency in &package.dependencies {
        // What only tests use never reaches the binary.
        if dependency.kind.as_deref() != Some("dev") {
            check_dependency(rules, name, floor, dependency, findings);
        }
    }
}

fn manifest_inherits_lints(manifest: &Path) -> bool {
    let lints = std::fs::read_to_string(manifest)
        .ok()
        .and_then(|text| toml::from_str::<toml::Table>(&text).ok())
        .and_then(|table| table.get("lints")?.get("workspace")?.as_bool());
    lints == Some(true)
}

fn check_dependency(
    rules: &Rules,
    name: &str,
    floor: u8,
    dependency: &Dependency,
    findings: &mut Vec<String>,
) {
    let other = &dependency.name;
    if dependency.path.is_some() {
        let Some(other_floor) = rules.floor(other) else {
            findings.push(format!("{name}: depends on {other}, which has no floor"));
            return;
        };
        let sideways = rules
            .sideways
            .get(name)
            .is_some_and(|list| list.contains(other));
        if other_floor > floor {
            findings.push(format!(
                "{name} (floor {floor}) depends upward on {other} (floor {other_floor}); declare a port in {name} and bind it above"
            ));
        } else if other_floor == floor && !sideways {
            findings.push(format!(
                "{name} depends sideways on {other} (floor {floor}); name it in floors.toml with a reason in a decision, or declare a port"
            ));
        }
        return;
    }
    if rules.is_pure(name) && rules.pure.forbidden.contains(other) {
        findings.push(format!(
            "{name} is pure and may not depend on {other}; move what needs it to crates/"
        ));
    }
    if let Some(owners) = rules.owners.get(other)
        && !owners.iter().any(|owner| owner == name)
    {
        findings.push(format!(
            "{name} depends on {other}, which only {} may name",
            owners.join(", ")
        ));
    }
}

impl Rules {
    /// The crate that a source file belongs to, when it is one of the binary's.
    pub(crate) fn crate_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("libs" | "crates"), Some(name), Some("src")) => Some(name),
            _ => None,
        }
    }

    /// Whether a crate is below the purity line.
    pub(crate) fn pure_crate(&self, name: &str) -> bool {
        self.is_pure(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            "[floors]\n3 = [\"upper\"]\n1 = [\"one\", \"two\"]\n[outside]\ncrates = []\n\
             [sideways]\none = [\"two\"]\n[pure]\nfloors = [1]\nforbidden = [\"tokio\"]\nwords = []\n\
             [owners]\nhyper = [\"upper\"]\n[words]\n[files]\nlines_max = 10\n",
        )
        .expect("the rules are right")
    }

    fn findings(name: &str, floor: u8, other: &str, inside: bool) -> Vec<String> {
        let dependency = Dependency {
            name: other.to_owned(),
            kind: None,
            path: inside.then(|| PathBuf::from("there")),
        };
        let mut findings = Vec::new();
        check_dependency(&rules(), name, floor, &dependency, &mut findings);
        findings
    }

    #[test]
    fn downward_is_free_and_upward_is_not() {
        assert!(findings("upper", 3, "one", true).is_empty());
        assert!(findings("one", 1, "upper", true)[0].contains("upward"));
    }

    #[test]
    fn sideways_only_where_named() {
        assert!(findings("one", 1, "two", true).is_empty());
        assert!(findings("two", 1, "one", true)[0].contains("sideways"));
    }

    #[test]
    fn pure_crates_and_owners_are_kept() {
        assert!(findings("one", 1, "tokio", false)[0].contains("pure"));
        assert!(findings("upper", 3, "tokio", false).is_empty());
        assert!(findings("one", 1, "hyper", false)[0].contains("only upper"));
    }
}
