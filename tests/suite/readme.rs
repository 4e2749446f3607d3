//! The README's commands, run as they stand there; what it shows is what they print.
//!
//! `DRYSCALE_BLESS=1 cargo test --release readme` writes what they print now into the README.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A block of the README that begins with a command: its lines, without the fences.
const FENCE: &str = "```console\n";
const END: &str = "```\n";

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("there is a README")
}

/// What the command line prints on stdout, in `folder`.
fn run(line: &str, folder: &Path) -> String {
    // Quoted for a shell's sake, and without a space in the quotes.
    let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
    assert_eq!(words.next(), Some("dryscale"), "{line}");
    let output = Command::new(env!("CARGO_BIN_EXE_dryscale"))
        .args(words)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Two hours of simulated traffic, sixteen times: a matter of seconds in a release build, of minutes in a debug build.
#[test]
fn the_readme_shows_what_its_commands_print() {
    if cfg!(debug_assertions) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = readme();
    let mut fresh = String::new();
    let mut rest = text.as_str();
    let mut commands = 0;
    while let Some((before, after)) = rest.split_once(FENCE) {
        let (block, after) = after.split_once(END).expect("the block ends");
        let command = block.lines().next().and_then(|line| line.strip_prefix("$ ")).expect("a command");
        fresh.push_str(&format!("{before}{FENCE}$ {command}\n{}{END}", run(command, folder.path())));
        commands += 1;
        rest = after;
    }
    fresh.push_str(rest);
    assert!(commands >= 4, "the README has its commands");
    if std::env::var_os("DRYSCALE_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), &fresh)
            .expect("the README is written");
        return;
    }
    assert!(text == fresh, "the README shows something else than its commands print:\n{fresh}");
}

/// The command that CI runs is the README's.
#[test]
fn ci_runs_the_readmes_test_command() {
    let ci = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run"))
        .expect("there is a .ci/run");
    let command = "cargo test --release";
    assert!(readme().lines().any(|line| line.trim() == command), "the README has it");
    assert!(ci.lines().any(|line| line.trim() == command), ".ci/run has it");
}

/// Every document that the README names is there.
#[test]
fn links_lead_somewhere() {
    let links = regex::Regex::new(r"\]\(([^)#]+)\)").expect("pattern");
    let text = readme();
    let missing: Vec<&str> = links
        .captures_iter(&text)
        .filter_map(|hit| hit.get(1).map(|link| link.as_str()))
        .filter(|link| !Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
