//! What `--out` and `--output` write, and that nothing is ever lost or left half-written.

use super::{BUSY, EAGER, Shell, assert_whole, nothing_at};
use std::fs;

const RUN: [&str; 8] =
    ["simulate", "--experiment", "busy.toml", "--policy", "eager.toml", "--format", "json", "--out"];

fn shell() -> Shell {
    let shell = Shell::new();
    shell.write("busy.toml", BUSY).write("eager.toml", EAGER);
    shell
}

#[test]
fn a_folder_holds_the_run_and_the_next_run_takes_its_place() {
    let shell = shell();
    let first = shell.run(&[&RUN[..], &["deep/run"]].concat()).expect(0);
    assert_whole(&shell, "deep/run", &first.json());
    let all = [
        "decisions.jsonl",
        "inputs",
        "pods.csv",
        "requests.csv",
        "series.jsonl",
        "summary.json",
        "timeline.csv",
    ];
    assert_eq!(shell.names("deep/run"), all);
    assert_eq!(shell.names("deep/run/inputs"), ["experiment.toml", "model.toml", "policy.toml"]);
    assert_eq!(shell.read("deep/run/inputs/policy.toml"), EAGER);

    let again = ["deep/run", "--no-requests", "--set", "seed=7", "--set", "policy.name=again"];
    let second = shell.run(&[&RUN[..], &again].concat()).expect(0);
    assert_ne!(first.json()["requests"], second.json()["requests"]);
    assert_eq!(
        shell.names("deep/run"),
        ["decisions.jsonl", "inputs", "pods.csv", "series.jsonl", "summary.json", "timeline.csv"]
    );
    assert_eq!(shell.read("deep/run/inputs/settings.txt"), "seed=7\npolicy.name=again\n");
    assert_eq!(shell.names("deep"), ["run"], "nothing else is left");
}

#[test]
fn what_no_run_wrote_is_never_replaced() {
    let shell = shell();
    shell.write("mine/notes.txt", "dear diary").write("file", "text");
    for (out, message) in [
        ("mine", "mine holds notes.txt, which no run wrote there"),
        ("file", "file is there and is not a folder"),
        ("file/run", "cannot write file/run"),
        (".", ". is not the name of a folder"),
        ("/proc/no/such/place", "cannot write"),
    ] {
        let ended = shell.run(&[&RUN[..], &[out]].concat()).expect(3);
        assert_eq!(ended.stdout, "", "{}", ended.told());
        assert!(ended.stderr.contains(message) && ended.stderr.contains("help:"), "{}", ended.told());
    }
    assert_eq!(shell.names("."), ["busy.toml", "eager.toml", "file", "mine"]);
    assert_eq!(shell.read("mine/notes.txt"), "dear diary");
    assert_eq!(shell.read("file"), "text");
}

#[test]
fn a_run_that_is_refused_leaves_nothing_and_a_run_that_fails_an_assertion_leaves_all() {
    let shell = shell();
    // The trace is good for as long as it is read before the run, and bad in the end.
    let lines: String = (0..3000).map(|i| format!("{i},10,10\n")).collect();
    shell.write("trace.csv", format!("timestamp,prompt_tokens,output_tokens\n{lines}1,10,10\n"));
    let refused = [
        &["run", "--set", "serving.vllm='0.6'"][..],
        &["run", "--assert", "cots<1"],
        &["run", "--trace", "trace.csv", "--duration", "2h"],
    ];
    for more in refused {
        let ended = shell.run(&[&RUN[..], more].concat()).expect(3);
        assert_eq!(ended.stdout, "", "{}", ended.told());
        assert!(nothing_at(&shell, "run"), "{}: {:?}", ended.told(), shell.names("."));
    }
    let failed = shell.run(&[&RUN[..], &["run", "--assert", "cost<0"]].concat()).expect(1);
    assert_whole(&shell, "run", &failed.json());
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_behind() {
    use std::process::{Command, Stdio};
    let shell = shell();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dryscale"))
        .args(["simulate", "--policy", "concurrency", "--duration", "100d", "--out", "run"])
        .current_dir(shell.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let begun = || shell.names(".").iter().any(|name| name.contains("partial"));
    wait_until(begun);
    // Not before it listens: the folder is begun first.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(nothing_at(&shell, "run"), "{:?}", shell.names("."));
}

/// Waits up to a minute.
pub(super) fn wait_until(done: impl Fn() -> bool) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !done() {
        assert!(std::time::Instant::now() < patience, "it never happened");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn an_export_is_a_policy_again_wherever_it_is_written() {
    let shell = shell();
    let ended = shell.run(&["export", "--policy", "queue-with-behavior"]).expect(0);
    assert!(ended.stdout.contains("# Nothing was simulated for this export."), "{}", ended.told());
    assert_eq!(ended.stderr, "");
    shell.run(&["export", "--policy", "queue-with-behavior", "--output", "so.yaml"]).expect(0);
    assert_eq!(shell.read("so.yaml"), ended.stdout);
    let again = shell.run_with_stdin(&["export", "--policy", "-"], &ended.stdout).expect(0);
    assert_eq!(again.stdout, ended.stdout);
    let fixed = shell.run(&["export", "--policy", "static:3"]).expect(3);
    assert!(fixed.stderr.contains("has no ScaledObject"), "{}", fixed.told());
    shell.run(&["export", "--policy", "queue-with-behavior", "--output", "no/such/folder.yaml"]).expect(3);
    fs::create_dir(shell.path("folder")).expect("a folder");
    shell.run(&["export", "--policy", "queue-with-behavior", "--output", "folder"]).expect(3);
    assert_eq!(shell.names("."), ["busy.toml", "eager.toml", "folder", "so.yaml"]);
}
