//! Sweeps over worlds made by hand: the grid, its journal, resuming, threads and bugs.

use crate::synthetic::Sawing;
use dryscale::analysis::{
    Axis, Journal, Plan, Progress, RunError, Scoring, Setting, Stop, SweepError, Swept, Worlds, repeat, sweep,
};
use dryscale::problem::{Place, Problem};
use dryscale::simulation::record::Recorder;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

fn axis(key: &str, values: impl IntoIterator<Item = impl Into<toml::Value>>) -> Axis {
    Axis { key: key.to_owned(), values: values.into_iter().map(Into::into).collect() }
}

fn plan(axes: &[Axis]) -> Plan {
    Plan::new(&Sawing, &[axes.to_vec()], vec![1, 2]).expect("a plan")
}

fn sizes() -> Plan {
    plan(&[axis("size", [1, 2, 3, 5])])
}

fn run(
    plan: &Plan,
    path: &Path,
    resume: bool,
    threads: usize,
    stop: &Stop,
) -> Result<Swept, SweepError<Problem>> {
    let mut journal = Journal::open(path, plan, resume).map_err(SweepError::Problem)?;
    sweep(plan, &Sawing, &mut journal, threads, stop, &|_| ())
}

fn json_of(swept: &Swept) -> Vec<String> {
    swept.results.iter().map(|result| result.outcome.as_ref().expect("no bug").json().to_string()).collect()
}

#[test]
fn the_grid_is_all_combinations_and_the_last_key_changes_fastest() {
    let plan = plan(&[axis("size", [1, 2]), axis("mode", ["a", "b"])]);
    let points: Vec<String> = plan
        .points
        .iter()
        .map(|point| point.settings.iter().map(Setting::text).collect::<Vec<_>>().join(""))
        .collect();
    assert_eq!(points, ["1a", "1b", "2a", "2b"]);
}

#[test]
fn several_grids_follow_one_another_and_what_is_in_two_is_run_once() {
    let grids = [
        vec![axis("mode", ["a"]), axis("size", [1, 2])],
        vec![axis("size", [3, 5])],
        vec![axis("mode", ["a"]), axis("size", [2, 3])],
    ];
    let plan = Plan::new(&Sawing, &grids, vec![1]).expect("a plan");
    let points: Vec<String> = plan
        .points
        .iter()
        .map(|point| point.settings.iter().map(Setting::text).collect::<Vec<_>>().join(""))
        .collect();
    assert_eq!(points, ["a1", "a2", "3", "5", "a3"]);
    assert_eq!(plan.keys(), ["mode", "size"]);
}

#[test]
fn a_point_is_named_by_its_inputs_and_nothing_else() {
    let one = plan(&[axis("size", [1, 2])]);
    let other = plan(&[axis("size", [2, 7])]);
    assert_eq!(one.points[1].id, other.points[0].id);
    assert_ne!(one.points[0].id, one.points[1].id);
    let text = plan(&[axis("size", ["2"])]);
    assert_ne!(text.points[0].id, one.points[1].id, "a text is not a number");
    let seeds = Plan::new(&Sawing, &[vec![axis("size", [2])]], vec![1]).expect("a plan");
    assert_ne!(seeds.points[0].id, one.points[1].id);
}

#[test]
fn a_grid_that_cannot_be_is_refused_with_its_key() {
    let refused =
        |axes: &[Axis]| Plan::new(&Sawing, &[axes.to_vec()], vec![1]).expect_err("refused").to_string();
    assert!(refused(&[]).starts_with("sweep: names no key"));
    assert!(Plan::new(&Sawing, &[], vec![1]).is_err());
    assert!(refused(&[axis("size", [0; 0])]).starts_with("sweep.size: has no values"));
    assert!(refused(&[axis("size", [1, 2, 1])]).starts_with("sweep.size: has the value 1 twice"));
    assert!(refused(&[axis("size", [1]), axis("size", [2])]).starts_with("sweep.size: is there twice"));
    let many: Vec<i64> = (1..=400).collect();
    let big = [axis("size", many.clone()), axis("x", many)];
    assert!(refused(&big).starts_with("sweep: has 160000 points; the most is 100000"));
    let last = refused(&[axis("size", [3, 0])]);
    assert_eq!(last, "size: 0 replicas serve nobody (give at least 1)\nat the point size = 0");
}

#[test]
fn a_sweep_gives_the_same_on_1_2_and_8_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let on = |threads: usize| {
        let path = folder.path().join(format!("{threads}.journal"));
        run(&sizes(), &path, false, threads, &Stop::new()).expect("runs")
    };
    let alone = on(1);
    assert!(!alone.stopped && alone.results.len() == 4);
    assert_eq!(alone, on(2));
    assert_eq!(json_of(&alone), json_of(&on(8)));
}

#[test]
fn an_interrupted_sweep_resumes_to_the_same_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = run(&sizes(), &folder.path().join("whole"), false, 2, &Stop::new()).expect("runs");

    let path = folder.path().join("cut");
    let stop = Stop::new();
    let mut journal = Journal::open(&path, &sizes(), false).expect("opens");
    let after_two = |progress: Progress| {
        if progress.done == 2 {
            stop.ask()
        }
    };
    let first = sweep(&sizes(), &Sawing, &mut journal, 1, &stop, &after_two).expect("runs");
    assert!(first.stopped && first.results.len() == 2);
    drop(journal);

    // Killed in the middle of a line: the point of that line is run again.
    let text = fs::read_to_string(&path).expect("the journal");
    assert_eq!(text.lines().count(), 3);
    fs::write(&path, &text[..text.len() - 40]).expect("cut");
    let seen = Mutex::new(Vec::new());
    let mut journal = Journal::open(&path, &sizes(), true).expect("opens");
    assert_eq!(journal.finished(), 1);
    let second = sweep(&sizes(), &Sawing, &mut journal, 1, &Stop::new(), &|progress| {
        seen.lock().expect("whole").push((progress.done, progress.resumed));
    });
    assert_eq!(second.expect("runs"), whole);
    assert_eq!(seen.into_inner().expect("whole"), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(journal.finished(), 4);
    drop(journal);

    // Nothing is left to run, and what was read is what was written.
    let third = run(&sizes(), &path, true, 1, &Stop::new()).expect("runs");
    assert_eq!(json_of(&third), json_of(&whole));
    Journal::open(&path, &sizes(), true).expect("opens").remove().expect("removed");
    assert!(!path.exists());
}

#[test]
fn a_journal_cut_anywhere_keeps_its_whole_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    run(&sizes(), &path, false, 2, &Stop::new()).expect("runs");
    let whole = fs::read(&path).expect("the journal");
    let cuts = (0..whole.len()).step_by(53).chain([whole.len() - 1, whole.len()]);
    for cut in cuts {
        fs::write(&path, &whole[..cut]).expect("cut");
        let journal = Journal::open(&path, &sizes(), true).expect("opens");
        let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(journal.finished(), lines.saturating_sub(1), "cut at {cut}");
    }
}

#[test]
fn a_journal_cut_in_its_first_line_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    drop(Journal::open(&path, &sizes(), false).expect("opens"));
    let header = fs::read_to_string(&path).expect("the journal");
    for cut in [0, 10, header.len() - 1] {
        fs::write(&path, &header[..cut]).expect("cut");
        assert_eq!(Journal::open(&path, &sizes(), true).expect("opens").finished(), 0);
        assert_eq!(fs::read_to_string(&path).expect("the journal"), header);
    }
}

#[test]
fn a_journal_that_is_not_this_sweeps_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let refused = |plan: &Plan, resume| {
        let before = fs::read(&path).expect("the journal");
        let problem = Journal::open(&path, plan, resume).expect_err("refused");
        assert_eq!(fs::read(&path).expect("the journal"), before, "the file is as it was");
        assert!(problem.help.is_some(), "{problem}");
        problem
    };
    run(&sizes(), &path, false, 1, &Stop::new()).expect("runs");
    let other = plan(&[axis("size", [1, 2, 3])]);
    assert!(refused(&other, true).message.ends_with("is the journal of another sweep of 4 points"));
    let lost = refused(&sizes(), false);
    assert!(lost.message.ends_with("holds 4 of 4 points of this sweep"), "{lost}");

    let text = fs::read_to_string(&path).expect("the journal");
    fs::write(&path, text.replacen("\"answer\"", "\"anwser\"", 2)).expect("spoilt");
    let spoilt = refused(&sizes(), true);
    assert!(matches!(spoilt.place, Place::Line { line: 2, .. }), "{spoilt:?}");

    for notes in [&b"my notes\n"[..], b"my notes", b"{}\n", b"\xff\xfe\n"] {
        fs::write(&path, notes).expect("a file of another kind");
        assert!(refused(&sizes(), true).message.ends_with("is not the journal of a sweep"));
    }
}

#[test]
fn two_sweeps_do_not_write_one_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let _held = Journal::open(&path, &sizes(), false).expect("opens");
    let second = Journal::open(&path, &sizes(), true).expect_err("held");
    assert!(second.message.ends_with("is being written by another sweep"));
}

#[test]
fn a_journal_that_cannot_be_written_is_known_before_the_work_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let problem = Journal::open(&folder.path().join("none/journal"), &sizes(), false).expect_err("no folder");
    assert!(problem.message.starts_with("cannot write "), "{problem}");
}

#[test]
fn a_bug_in_one_point_leaves_the_others_and_says_how_to_replay_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(&[axis("size", [1, 2]), axis("fail", ["it's not", "panic"])]);
    let swept = run(&plan, &folder.path().join("journal"), false, 2, &Stop::new()).expect("runs");
    let bugs: Vec<usize> = swept.results.iter().filter(|r| r.outcome.is_err()).map(|r| r.point).collect();
    assert_eq!((bugs, swept.stopped), (vec![1, 3], false));
    let bug = swept.results[1].outcome.as_ref().expect_err("a bug");
    assert_eq!(
        bug.to_string(),
        "the run with seed 1 failed, which is a bug in dryscale: blocks used + free = 7, not 8"
    );
    let command = "dryscale simulate --experiment thresholds";
    assert_eq!(bug.replay(command), format!("{command} --seed 1 --set 'size=1' --set 'fail=panic'"));
    // It is not in the journal, so resuming tries it again.
    assert_eq!(Journal::open(&folder.path().join("journal"), &plan, true).expect("opens").finished(), 2);
}

#[test]
fn a_replay_survives_the_shell() {
    let settings = [Setting { key: "query".to_owned(), value: "sum(x{a='b'})".into() }];
    struct Buggy;
    impl Worlds for Buggy {
        type Error = Problem;

        fn scoring(&self, _: &[Setting]) -> Result<Scoring, Problem> {
            panic!("early")
        }
        fn run(
            &self,
            _: &[Setting],
            _: u64,
            _: &Stop,
            _: &mut dyn Recorder,
        ) -> Result<ControlFlow<()>, Problem> {
            Ok(ControlFlow::Continue(()))
        }
    }
    let Err(RunError::Bug(bug)) = repeat(&Buggy, &settings, &[3], &Stop::new(), None) else {
        panic!("a bug");
    };
    assert_eq!(bug.replay("run"), r"run --seed 3 --set 'query=sum(x{a='\''b'\''})'");
}

#[test]
fn a_problem_in_one_point_is_told_after_the_others_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let plan = plan(&[axis("fail", ["", "problem"]), axis("size", [1, 2])]);
    for threads in [1, 4] {
        let error = run(&plan, &path, true, threads, &Stop::new()).expect_err("a bad trace");
        let SweepError::Point { settings, error } = error else { panic!("{error}") };
        assert_eq!(settings, plan.points[2].settings, "the first in the plan's order");
        assert_eq!(error.message, "`y` is no number of tokens");
        assert!(matches!(error.place, Place::Line { line: 3, .. }));
        assert_eq!(Journal::open(&path, &plan, true).expect("opens").finished(), 2);
    }
}

#[test]
fn the_rest_takes_as_long_as_what_was_run_and_what_was_resumed_says_nothing() {
    let progress = Progress { done: 14, resumed: 10, failed: 0, total: 64 };
    assert_eq!(progress.eta(Duration::from_secs(8)), Some(Duration::from_secs(100)));
    assert_eq!(Progress { done: 10, ..progress }.eta(Duration::from_secs(8)), None);
    assert_eq!(Progress { done: 64, ..progress }.eta(Duration::from_secs(8)), Some(Duration::ZERO));
}
