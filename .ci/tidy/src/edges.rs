//! Which crate may depend on which.
//!
//! Owns the table of allowed edges, the exact one of docs/ARCHITECTURE.md, and the outside crates that a pure crate
//! may use. Reads the manifests by lines, as cargo formats them.

use crate::Finding;
use crate::repository::Repository;

/// One package: its manifest, the members that it may use, and those that only its tests may use.
struct Package {
    name: &'static str,
    manifest: &'static str,
    members: &'static [&'static str],
    test_members: &'static [&'static str],
}

const PACKAGES: [Package; 14] = [
    Package { name: "amqp", manifest: "broker/amqp/Cargo.toml", members: &[], test_members: &[] },
    Package { name: "amqp-fuzz", manifest: "broker/amqp/fuzz/Cargo.toml", members: &["amqp"], test_members: &[] },
    Package { name: "disk", manifest: "broker/disk/Cargo.toml", members: &[], test_members: &[] },
    Package { name: "engine", manifest: "broker/engine/Cargo.toml", members: &[], test_members: &[] },
    Package { name: "store", manifest: "broker/store/Cargo.toml", members: &["disk"], test_members: &[] },
    Package { name: "reactor", manifest: "broker/reactor/Cargo.toml", members: &["disk"], test_members: &[] },
    Package {
        name: "broker",
        manifest: "broker/server/Cargo.toml",
        members: &["amqp", "disk", "engine", "store", "reactor"],
        test_members: &["loadgen"],
    },
    Package { name: "loadgen", manifest: "loadgen/Cargo.toml", members: &["amqp"], test_members: &[] },
    Package {
        name: "chaos-core",
        manifest: "chaos/core/Cargo.toml",
        members: &["loadgen", "shareddisk"],
        test_members: &[],
    },
    Package {
        name: "shareddisk",
        manifest: "chaos/shareddisk/Cargo.toml",
        members: &[],
        test_members: &["disk", "reactor"],
    },
    Package { name: "chaos", manifest: "chaos/Cargo.toml", members: &["chaos-core", "broker"], test_members: &[] },
    Package {
        name: "broker-canary",
        manifest: "chaos/canary/Cargo.toml",
        members: &["amqp", "broker", "chaos-core", "disk", "reactor"],
        test_members: &[],
    },
    Package {
        name: "benches",
        manifest: "benches/Cargo.toml",
        members: &["amqp", "broker", "disk", "reactor"],
        test_members: &["amqp", "disk", "engine", "store", "reactor", "broker", "loadgen", "chaos-core"],
    },
    Package { name: "tidy", manifest: ".ci/tidy/Cargo.toml", members: &[], test_members: &[] },
];

/// Packages that no product contains.
const INSTRUMENTS: [&str; 3] = ["amqp-fuzz", "benches", "tidy"];

/// What a pure crate may take from outside in production. Randomness, clocks and I/O are not among it; the simulated
/// disk draws its faults from a seed that it is given.
const PURE_OUTSIDE: [(&str, &[&str]); 4] = [
    ("amqp", &["bytes", "thiserror"]),
    ("disk", &["bytes", "fastrand"]),
    ("engine", &["bytes", "thiserror"]),
    ("store", &["bytes", "crc32c", "thiserror"]),
];

/// Outside crates that are confined to some packages, with the reason.
const CONFINED: [(&str, &[&str], &str); 3] = [
    ("criterion", &["benches"], "measurements live in `benches`, so that normal builds do not pay for them"),
    ("io-uring", &["reactor"], "only `reactor` talks to the ring"),
    (
        "tokio",
        &["loadgen", "chaos-core", "broker"],
        "the broker's data path is the reactor's loop; its monitor has a thread",
    ),
];

/// One dependency line of a manifest.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    line: usize,
    test_only: bool,
}

/// Every package has exactly the edges of the table.
pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = unknown_packages(repository);
    for package in &PACKAGES {
        match repository.text(package.manifest) {
            Some(text) => findings.extend(check_package(package, text)),
            None => {
                findings.push(Finding::new(package.manifest, 1, "missing; the table in .ci/tidy/src/edges.rs has it"))
            }
        }
    }
    findings
}

/// A member of the workspace that the table does not have would have no rule.
fn unknown_packages(repository: &Repository) -> Vec<Finding> {
    let manifests =
        repository.texts.iter().filter(|(path, text)| path.ends_with("/Cargo.toml") && !text.contains("[workspace]"));
    let unknown = manifests.filter(|(path, _)| PACKAGES.iter().all(|package| package.manifest != path));
    unknown
        .map(|(path, _)| {
            Finding::new(
                path,
                1,
                "unknown package: add it to the table in .ci/tidy/src/edges.rs and docs/ARCHITECTURE.md",
            )
        })
        .collect()
}

fn check_package(package: &Package, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in dependencies(manifest) {
        if let Some(message) = refusal(package, &dependency) {
            findings.push(Finding::new(package.manifest, dependency.line, message));
        }
    }
    if !INSTRUMENTS.contains(&package.name) {
        findings.extend(features(package, manifest));
    }
    findings
}

fn features(package: &Package, manifest: &str) -> Option<Finding> {
    let line = manifest.lines().position(|line| line.trim() == "[features]")?;
    let message = "a cargo feature is a switch in production code; put the double behind reactor's types instead";
    Some(Finding::new(package.manifest, line + 1, message))
}

/// Why a dependency is not allowed, if so.
fn refusal(package: &Package, dependency: &Dependency) -> Option<String> {
    let (package_name, name) = (package.name, dependency.name.as_str());
    if PACKAGES.iter().any(|member| member.name == name) {
        let allowed = package.members.contains(&name) || dependency.test_only && package.test_members.contains(&name);
        let message = format!(
            "`{package_name}` must not depend on `{name}`: pass what it needs as an argument (docs/ARCHITECTURE.md)"
        );
        return (!allowed).then_some(message);
    }
    if let Some((_, allowed, why)) = CONFINED.iter().find(|(confined, ..)| *confined == name)
        && !allowed.contains(&package_name)
    {
        return Some(format!("`{name}` is for {} only: {why}", allowed.join(", ")));
    }
    let (_, allowed) = PURE_OUTSIDE.iter().find(|(pure, _)| *pure == package_name)?;
    let refused = !dependency.test_only && !allowed.contains(&name);
    refused.then(|| format!("`{package_name}` is pure and may use only {}", allowed.join(", ")))
}

/// The dependencies of a manifest, whatever their table is called.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut section = String::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = header.to_string();
            let single = ["dependencies.", "dev-dependencies.", "build-dependencies."]
                .into_iter()
                .find_map(|table| section.split_once(table));
            if let Some((_, name)) = single {
                let test_only = section.contains("dev-dependencies");
                found.push(Dependency { name: name.to_string(), line: index + 1, test_only });
            }
        } else if section.ends_with("dependencies")
            && let Some((name, value)) = line.split_once('=')
        {
            let name = package_of(name, value);
            found.push(Dependency { name, line: index + 1, test_only: section.ends_with("dev-dependencies") });
        }
    }
    found
}

/// The package behind a dependency, also where it was renamed.
fn package_of(name: &str, value: &str) -> String {
    let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
    let name = name.trim().split('.').next().unwrap_or("").trim_matches('"');
    renamed.unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_as(name: &str, manifest: &str) -> Vec<usize> {
        let package = PACKAGES.iter().find(|package| package.name == name).expect("a package of the table");
        check_package(package, manifest).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_new_edge_is_found() {
        assert_eq!(check_as("engine", "[dependencies]\nthiserror.workspace = true\namqp.workspace = true\n"), [3]);
        assert_eq!(
            check_as("store", "[dependencies]\ndisk.workspace = true\nreactor = { path = \"../reactor\" }\n"),
            [3]
        );
        assert_eq!(check_as("chaos-core", "[dependencies.broker]\npath = \"../../broker/server\"\n"), [1]);
        assert_eq!(
            check_as("chaos-core", "[target.'cfg(unix)'.dependencies]\nx = { package = \"broker\", path = \"\" }\n"),
            [2]
        );
    }

    #[test]
    fn an_edge_of_the_tests_is_not_one_of_production() {
        assert_eq!(check_as("broker", "[dev-dependencies]\nloadgen.workspace = true\n"), [] as [usize; 0]);
        assert_eq!(check_as("broker", "[dependencies]\nloadgen.workspace = true\n"), [2]);
        assert_eq!(check_as("chaos-core", "[dev-dependencies]\nbroker.workspace = true\n"), [2]);
        assert_eq!(check_as("amqp", "[dev-dependencies]\nfastrand.workspace = true\n"), [] as [usize; 0]);
    }

    #[test]
    fn outside_crates_are_confined() {
        assert_eq!(check_as("amqp", "[dependencies]\nbytes.workspace = true\nfastrand.workspace = true\n"), [3]);
        assert_eq!(check_as("loadgen", "[dev-dependencies]\ncriterion.workspace = true\n"), [2]);
        assert_eq!(check_as("reactor", "[dependencies]\ntokio.workspace = true\n"), [2]);
    }

    #[test]
    fn features_are_refused() {
        assert_eq!(check_as("reactor", "[features]\nsimulator = []\n"), [1]);
        assert_eq!(check_as("amqp-fuzz", "[features]\nlibfuzzer = []\n"), [] as [usize; 0]);
    }
}
