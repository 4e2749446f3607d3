//! The architecture, held by a test: who may import whom, and what the wings may never touch.

use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};

/// A wing and what it may import. `wing::item` allows only that item: a plain data type of a wing whose output the
/// real system reads.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("problem", &[]),
    ("progression", &["units"]),
    ("histogram", &["units", "progression"]),
    ("nearest", &[]),
    ("lines", &["problem"]),
    ("random", &["units", "problem"]),
    ("workload", &["units", "problem", "nearest", "histogram", "random", "lines"]),
    (
        "serving",
        &[
            "units",
            "problem",
            "nearest",
            "histogram",
            "progression",
            "random",
            "workload::ContentId",
            "workload::Finish",
            "workload::Segment",
        ],
    ),
    (
        "monitoring",
        &[
            "units",
            "problem",
            "nearest",
            "histogram",
            "random",
            "lines",
            "serving::engine",
            "serving::flow_control",
            "serving::ingress_stats",
        ],
    ),
    ("autoscaling", LEAVES),
    ("manifests", &["units", "problem", "autoscaling", "monitoring::rules"]),
    (
        "simulation",
        &[
            "units",
            "problem",
            "nearest",
            "histogram",
            "random",
            "workload",
            "serving",
            "monitoring",
            "autoscaling",
        ],
    ),
    (
        "scenario",
        &[
            "units",
            "problem",
            "nearest",
            "histogram",
            "random",
            "workload",
            "serving",
            "monitoring",
            "autoscaling",
            "manifests",
            "simulation",
        ],
    ),
    ("analysis", &["units", "problem", "histogram", "simulation", "scenario"]),
    (
        "report",
        &[
            "units",
            "problem",
            "histogram",
            "monitoring::labels",
            "monitoring::promql",
            "monitoring::wal",
            "simulation::record",
            "simulation::summary",
            "simulation::Schedule",
            "analysis",
        ],
    ),
];

const LEAVES: &[&str] = &["units", "problem", "nearest", "histogram", "random"];

/// The wings that are plain state machines.
const PURE: &[&str] = &[
    "units",
    "problem",
    "progression",
    "histogram",
    "lines",
    "random",
    "workload",
    "serving",
    "monitoring",
    "autoscaling",
    "simulation",
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(below: &Path, into: &mut Vec<PathBuf>) {
    if below.is_file() {
        into.push(below.to_owned());
        return;
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(below).expect("source folder").map(|entry| entry.expect("entry").path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            rust_files(&entry, into);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            into.push(entry);
        }
    }
}

fn files_of(wing: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for place in [source_root().join(wing), source_root().join(format!("{wing}.rs"))] {
        if place.exists() {
            rust_files(&place, &mut files);
        }
    }
    assert!(!files.is_empty(), "no source of {wing}");
    let tests = test_modules(&files);
    files.retain(|file| !tests.contains(file));
    files
}

/// Files that are compiled for tests only: `#[cfg(test)] mod name;`.
fn test_modules(files: &[PathBuf]) -> Vec<PathBuf> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*mod (\w+);").expect("pattern");
    let mut tests = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("source is UTF-8");
        let folder = file.parent().expect("a folder");
        tests.extend(declared.captures_iter(&text).map(|hit| folder.join(format!("{}.rs", &hit[1]))));
    }
    tests
}

/// The code of a file: no comments, no tests at its foot.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("source is UTF-8");
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every `crate::a::b` of the code, grouped imports spread out, as `a` and `a::b`.
fn imports(code: &str) -> Vec<(String, String)> {
    let path = Regex::new(r"\bcrate::(\w+)(?:::(\w+|\{[^}]*\}))?").expect("pattern");
    let mut found = Vec::new();
    for hit in path.captures_iter(code) {
        let top = hit[1].to_owned();
        let rest = hit.get(2).map_or("", |m| m.as_str());
        for item in rest.trim_matches(['{', '}']).split(',') {
            let item =
                item.trim().split("::").next().unwrap_or_default().split(' ').next().unwrap_or_default();
            found.push((top.clone(), format!("{top}::{item}")));
        }
    }
    found
}

#[test]
fn wings_import_only_what_the_design_allows() {
    let mut faults = Vec::new();
    for (wing, allowed) in MAY_IMPORT {
        for file in files_of(wing) {
            let code = code(&file);
            // Several wings in one pair of braces would pass unseen.
            assert!(!code.contains("use crate::{"), "{}: one `use crate::…` a wing", file.display());
            for (top, item) in imports(&code) {
                let fine =
                    top == *wing || allowed.contains(&top.as_str()) || allowed.contains(&item.as_str());
                if !fine {
                    faults.push(format!("{}: {wing} may not import {item}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_wing_has_its_rule() {
    let mut wings: Vec<String> = fs::read_dir(source_root())
        .expect("src")
        .map(|entry| entry.expect("entry").path().file_stem().expect("name").to_string_lossy().into_owned())
        .filter(|name| !["main", "lib", "cli"].contains(&name.as_str()))
        .collect();
    wings.sort();
    let mut ruled: Vec<&str> = MAY_IMPORT.iter().map(|(wing, _)| *wing).collect();
    ruled.sort_unstable();
    assert_eq!(wings, ruled);
}

/// Where the code of the pure wings matches `pattern`.
fn hits_in_pure_wings(pattern: &Regex) -> Vec<String> {
    let mut hits = Vec::new();
    for file in PURE.iter().flat_map(|wing| files_of(wing)) {
        let code = code(&file);
        hits.extend(pattern.find_iter(&code).map(|hit| format!("{}: {}", file.display(), hit.as_str())));
    }
    hits
}

#[test]
fn the_wings_are_pure() {
    let forbidden =
        Regex::new(r"\bstd::(fs|net|env|process|thread|time)\b|\bprintln!|\beprintln!|\bstatic mut\b")
            .expect("pattern");
    let faults = hits_in_pure_wings(&forbidden);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `f64::ln` and its like come from the platform; the same bits on every machine come from `libm`.
#[test]
fn transcendental_functions_come_from_libm() {
    let platform = Regex::new(
        r"\.(ln|log10|log2|log|exp|exp2|exp_m1|ln_1p|powf|powi|sin|cos|tan|sinh|cosh|tanh|asin|acos|atan|atan2|cbrt)\(",
    )
    .expect("pattern");
    let faults = hits_in_pure_wings(&platform);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Nobody finds a second idea at the end of a long file.
#[test]
fn files_stay_readable() {
    let mut files = Vec::new();
    rust_files(&source_root(), &mut files);
    let long: Vec<String> = files
        .iter()
        .map(|file| (file, fs::read_to_string(file).expect("source is UTF-8").lines().count()))
        .filter(|(_, lines)| *lines > 700)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
