//! What users read, from runs made by hand: text as golden output, files byte by byte.

use crate::synthetic::{Sawing, at, decision, finished, pod, scaled, scoring, secs, unserved};
use dryscale::analysis::{
    Answer, Axis, Bounds, ClassTargets, Journal, Plan, Score, Scoring, Stop, Swept, Timeline, Verdict,
    Worlds, repeat, seeds, sweep,
};
use dryscale::monitoring::promql::QueryOptions;
use dryscale::monitoring::vllm_metrics::MetricsRelease;
use dryscale::monitoring::wal;
use dryscale::report::{
    DecisionsJsonl, Folder, Input, Names, PodsCsv, RequestsCsv, SERIES, Screen, TimelineCsv, replace,
    results, sentence, summary_json, sweep_json, table,
};
use dryscale::simulation::record::{Fan, Fate, Recorder, RequestRecord, RunTotals, TickRecord};
use dryscale::units::{Replicas, SimDuration, Tokens, UnixMillis};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const ELASTIC: Bounds = Bounds { min: Replicas(1), max: Replicas(5) };

fn screen(answer: &Answer, timeline: &Timeline, classes: &[ClassTargets]) -> String {
    let title = ["queue-threshold-2", "Llama-3.2-3B on A100-80GB", "vLLM 0.32"].map(str::to_owned);
    let next = [("what instead", "dryscale sweep thresholds".to_owned())];
    let text =
        Screen { title: &title, answer, bounds: ELASTIC, timeline, classes, currency: "$", next: &next }
            .text();
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 80 && text.lines().count() <= 24, "does not fit 80 x 24:\n{text}");
    text
}

/// The screen of the sawing policy under some seeds.
fn sawing(n: u32) -> String {
    let mut timeline = Timeline::new();
    let answer = repeat(&Sawing, &[], &seeds(1, n), &Stop::new(), Some(&mut timeline));
    let answer = answer.expect("runs").expect("not stopped");
    screen(&answer, &timeline, &Sawing.scoring(&[]).expect("scored").classes)
}

/// The answer and timeline of a run that `records` makes.
fn run(scoring: Scoring, records: impl FnOnce(&mut dyn Recorder)) -> (Answer, Timeline) {
    let (mut score, mut timeline) = (Score::new(scoring), Timeline::new());
    records(&mut Fan(vec![&mut score, &mut timeline]));
    (Answer::of(&[score.finish()]).expect("one run"), timeline)
}

#[test]
fn the_screen_of_a_policy_that_saws() {
    insta::assert_snapshot!(sawing(1), @r#"
    queue-threshold-2 · Llama-3.2-3B on A100-80GB · vLLM 0.32 · 2h at 5 req/s
    seed 1

      It saws: 23 changes of size, 22 of them reversals, one every 5 min.
      60.0 % of requests met the SLO (target 95 %); p95 TTFT 120 s against 2 s.

      load      ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅  5 req/s
      waiting   ▅█▁▁▅█▁▁▄█▁▁▅█▁▁▅█▁▁▅█▁▁▅█▁▁▅█▁▁▄█▁▁▄█▁▁▄█▁▁▅█▁▁  max 364
      ready     ▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██  1 ... 5 replicas
                0           30m         1h          1h30m

                  p50      p95      p99     target      met
      TTFT     0.18 s    120 s    120 s        2 s   60.0 %
      ITL       22 ms    22 ms    22 ms
      TPOT      25 ms    29 ms    30 ms      50 ms  100.0 %
      E2E       3.0 s    123 s    123 s

      replicas 3.0 mean, 5 max (50 % of the time) · 6.0 GPU-hours · $9.00
      longest queue 364 · 0 preemptions · no request lost

      what instead   dryscale sweep thresholds
    "#);
}

#[test]
fn the_screen_of_several_seeds_says_how_far_to_trust_it() {
    insta::assert_snapshot!(sawing(3), @r#"
    queue-threshold-2 · Llama-3.2-3B on A100-80GB · vLLM 0.32 · 2h at 5 req/s
    mean of 3 seeds

      It saws: 23 changes of size, 22 of them reversals, one every 5 min.
      59.9 ± 0.1 % of requests met the SLO (target 95 %); p95 TTFT 120 ± 0 s against
      2 s.

      load      ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅  5 req/s
      waiting   ▅█▁▁▅█▁▁▄█▁▁▅█▁▁▅█▁▁▅█▁▁▅█▁▁▅█▁▁▄█▁▁▄█▁▁▄█▁▁▅█▁▁  max 364
      ready     ▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██▂▂██  1 ... 5 replicas
                0           30m         1h          1h30m

                        p50            p95            p99     target            met
      TTFT    0.18 ± 0.00 s      120 ± 0 s      120 ± 0 s        2 s   59.9 ± 0.1 %
      ITL         22 ± 4 ms      22 ± 4 ms      22 ± 4 ms
      TPOT        25 ± 0 ms      29 ± 0 ms      30 ± 0 ms      50 ms  100.0 ± 0.0 %
      E2E       3.0 ± 0.0 s      123 ± 0 s      123 ± 0 s

      replicas 3.0 ± 0.0 mean, 5 ± 0 max (50 % of the time) · 6.0 ± 0.0 GPU-hours
      $9.00 ± 0.00 · longest queue 364 ± 0 · 0 preemptions · no request lost

      what instead   dryscale sweep thresholds
    "#);
}

#[test]
fn the_screen_of_a_run_in_which_nothing_happened() {
    let (answer, timeline) = run(scoring(), |records| {
        records.tick(&TickRecord { at: at(600.0), ready: Replicas(1), ..TickRecord::default() });
        records.end(&RunTotals { ended: at(600.0), ..RunTotals::default() });
    });
    insta::assert_snapshot!(screen(&answer, &timeline, &scoring().classes), @r#"
    queue-threshold-2 · Llama-3.2-3B on A100-80GB · vLLM 0.32 · 10m at 0 req/s
    seed 0

      Nothing arrived: there was no request in 10 min.
      Whether requests meet the SLO is not known: none has ended or is overdue.

      load      ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  0 req/s
      waiting   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  max 0
      ready     ████████████████████████████████████████████████  0 replicas
                0        2m        4m       6m        8m

                  p50      p95      p99     target      met
      TTFT          -        -        -        2 s        -
      ITL           -        -        -
      TPOT          -        -        -      50 ms        -
      E2E           -        -        -

      0 replicas all along · 0.0 GPU-hours · $0.00 · longest queue 0 · 0 preemptions
      no request lost

      what instead   dryscale sweep thresholds
    "#);
}

/// Two classes; a step that is never served; every kind of loss; more warnings than fit.
#[test]
fn the_screen_of_all_that_can_go_wrong_still_fits() {
    let classes = vec![
        ClassTargets { name: "chat".to_owned(), e2e: Some(secs(30.0)), ..scoring().classes[0].clone() },
        ClassTargets {
            name: "code".to_owned(),
            ttft: Some(secs(0.3)),
            attainment: 0.999,
            ..ClassTargets::default()
        },
    ];
    let scoring = Scoring { classes: classes.clone(), duration: secs(1800.0), ..scoring() };
    let (answer, timeline) = run(scoring, |records| {
        for i in 1..=360u64 {
            let (rate, late) = if i <= 120 { (10, 0) } else { (40, i - 120) };
            records.tick(&TickRecord {
                at: at(i as f64 * 5.0),
                arrived: rate,
                held: late,
                waiting: late * 29,
                running: 256,
                ready: Replicas(1),
                ..TickRecord::default()
            });
            for j in 0..rate {
                let sent = (i - 1) as f64 * 5.0 + j as f64 * 5.0 / rate as f64;
                let fate = match j {
                    0..10 => None,
                    10..12 => Some(Fate::Aborted),
                    12..14 => Some(Fate::Refused),
                    14 => Some(Fate::Killed),
                    15..35 => Some(Fate::Waiting),
                    _ => Some(Fate::Running),
                };
                let class = (j % 2) as u16;
                let wait = 0.2 + late as f64;
                let request = fate
                    .map_or(finished(i * 100 + j, sent, wait, wait + 3.0), |fate| unserved(0, sent, fate));
                records.request(&RequestRecord { class, ..request });
            }
        }
        records.scale(&scaled(700.0, 1, 2));
        records.end(&RunTotals {
            ended: at(1800.0),
            gpu_ps: 3_600_000_000_000_000,
            at_max: secs(1100.0),
            replica_ps: 2_900_000_000_000_000,
            replicas_range: (Replicas(1), Replicas(2)),
            ready_range: (Replicas(1), Replicas(1)),
            preemptions: 12_345,
            longest_queue: 7_200,
            warnings: vec![
                "vllm:gpu_cache_usage_perc does not exist in vLLM 0.32, where it is vllm:kv_cache_usage_perc"
                    .to_owned(),
                "trigger s0: the query was empty all along".to_owned(),
                "trigger s1 errored 17 times".to_owned(),
            ],
            ..RunTotals::default()
        });
    });
    insta::assert_snapshot!(screen(&answer, &timeline, &classes), @r#"
    queue-threshold-2 · Llama-3.2-3B on A100-80GB · vLLM 0.32 · 30m at 6 req/s
    seed 0

      It falls short: 1 change of size, and up to 7,200 requests waited.
      11.1 % of requests met the SLO (chat 11.2 % of 95 %, code 11.1 % of 99.9 %).

      load      ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  max 8 req/s
      waiting   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▃▃▃▃▃▄▄▄▄▅▅▅▅▅▆▆▆▆▆▇▇▇▇███  max 7,200
      ready     ████████████████████████████████████████████████  1 replica
                0               10m             20m

                  p50      p95      p99     target      met
      TTFT       60 s    222 s    237 s   by class   11.1 %
      ITL           -        -        -
      TPOT      30 ms    30 ms    30 ms      50 ms  100.0 %
      E2E        63 s    225 s    240 s       30 s   13.7 %

      replicas 1.6 mean, 2 max (61 % of the time) · 1.0 GPU-hours · $1.50
      longest queue 7,200 · 12,345 preemptions
      480 requests aborted, 240 killed, 480 refused
      4,800 requests waiting, 1,200 running at the end
      load step at 10m: capacity never came
      3 warnings: --format json shows all
      what instead   dryscale sweep thresholds
    "#);
}

#[test]
fn a_workload_without_targets_is_told_so() {
    let classes = vec![ClassTargets { name: "batch".to_owned(), ..ClassTargets::default() }];
    let (answer, timeline) = run(Scoring { classes: classes.clone(), ..scoring() }, |records| {
        records.request(&finished(0, 1.0, 0.5, 3.0));
        records.end(&RunTotals { ended: at(600.0), ..RunTotals::default() });
    });
    let text = screen(&answer, &timeline, &classes);
    assert!(text.contains("No SLO is set"), "{text}");
}

#[test]
fn each_verdict_is_a_sentence() {
    let verdicts = [
        Verdict::Idle,
        Verdict::Saws { changes: 23.0, reversals: 22.0, every_s: 327.0 },
        Verdict::AtItsMaximum { replicas: 5.0, share: 0.75, ready: 5.0, waiting: 412.0 },
        Verdict::AtItsMaximum { replicas: 5.0, share: 1.0, ready: 4.0, waiting: 0.0 },
        Verdict::AtItsMaximum { replicas: 100.0, share: 0.9, ready: 8.0, waiting: 0.0 },
        Verdict::TooSmall { replicas: 3.0, longest_queue: 40.0 },
        Verdict::TooSmall { replicas: 0.0, longest_queue: 0.0 },
        Verdict::NeverScales { replicas: 1.0, longest_queue: 1.0 },
        Verdict::ReactsLate { after_s: 136.0 },
        Verdict::FallsShort { changes: 1.0, longest_queue: 4000.0 },
        Verdict::HasRoom { running: 2.04, ready: 3.0 },
        Verdict::Holds { replicas: 3.0 },
        Verdict::Follows { changes: 6.0, reversals: 2.0 },
    ];
    let sentences: Vec<String> = verdicts.iter().map(|verdict| sentence(verdict, 7200.0)).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    Nothing arrived: there was no request in 2 h.
    It saws: 23 changes of size, 22 of them reversals, one every 5 min.
    It is overloaded: at its maximum of 5 replicas for 75.0 % of the time, and 412 requests waited at the end.
    It is overloaded: at its maximum of 5 replicas for 100.0 % of the time.
    It is overloaded: at its maximum of 100 replicas for 90.0 % of the time, of which at most 8 were ready.
    It is too small: 3 replicas all along, and up to 40 requests waited.
    It is too small: 0 replicas all along.
    It never scales: 1 replica all along, while up to 1 request waited.
    It reacts late: capacity came 2 min 16 s after the load's step.
    It falls short: 1 change of size, and up to 4,000 requests waited.
    It is over-provisioned: 2 requests ran on each of 3 ready replicas on average.
    It holds: 3 replicas all along.
    It holds: 6 changes of size, 2 of them reversals.
    "#);
}

// --- files ---

/// Everything that a writer wrote.
fn text(bytes: io::Result<Vec<u8>>) -> String {
    String::from_utf8(bytes.expect("memory takes everything")).expect("text")
}

#[test]
fn requests_are_written_as_their_fates_come_with_names_that_no_reader_mistakes() {
    let names =
        Names { sources: vec!["a, \"b\"\nc".to_owned()], classes: vec!["=HYPERLINK(\"x\")".to_owned()] };
    let mut csv = RequestsCsv::new(Vec::new(), names);
    csv.request(&RequestRecord { preemptions: 2, ..finished(1, 10.0, 0.25, 3.25) });
    csv.request(&RequestRecord {
        source: 7,
        reason: "cap",
        attempts: 0,
        sent: None,
        ..unserved(0, 9.5, Fate::Refused)
    });
    csv.request(&RequestRecord { output_tokens: Tokens(1), measured: false, ..finished(2, 0.0, 1.0, 1.0) });
    let text = text(csv.finish());
    insta::assert_snapshot!(text, @r#"
    ordinal,source,class,due_s,sent_s,first_token_s,ended_s,ttft_s,tpot_s,e2e_s,prompt_tokens,output_tokens,cached_tokens,preemptions,attempts,pod,fate,reason,measured
    1,"a, ""b""
    c","'=HYPERLINK(""x"")",10,10,10.25,13.25,0.25,0.03,3.25,1000,101,16,2,1,0,finished,,true
    0,7,"'=HYPERLINK(""x"")",9.5,,,,,,,1000,0,0,0,0,,refused,cap,true
    2,"a, ""b""
    c","'=HYPERLINK(""x"")",0,0,1,1,1,,1,1000,1,16,0,1,0,finished,,false
    "#);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let first = reader.records().next().expect("a row").expect("well formed");
    assert_eq!(&first[1], "a, \"b\"\nc");
}

#[test]
fn the_timeline_the_pods_and_the_decisions_are_written_row_by_row() {
    let mut timeline = TimelineCsv::new(Vec::new());
    timeline.tick(&TickRecord {
        at: at(5.5),
        arrived: 125,
        replicas: Replicas(3),
        kv_usage_mean: 0.125,
        kv_usage_max: 1e-7,
        ..TickRecord::default()
    });
    let mut pods = PodsCsv::new(Vec::new());
    pods.pod(&pod(3, "-vllm,3"));
    let mut decisions = DecisionsJsonl::new(Vec::new());
    decisions.decision(&decision(15.0));
    decisions.decision(&decision(30.25));
    let all = [text(timeline.finish()), text(pods.finish()), text(decisions.finish())];
    insta::assert_snapshot!(all.join("\n"), @r#"
    t_s,arrived,finished,held,waiting,running,replicas,ready,starting,terminating,gpus,kv_usage_mean,kv_usage_max
    5.5,125,0,0,0,0,3,0,0,0,0,0.125,0.0000001

    ordinal,name,node,created_s,scheduled_s,ready_s,deleted_s,exited_s,finished,killed,steps,preemptions
    3,"'-vllm,3",node-0,0,0.5,100.25,,,7,0,900,1

    {"t_s":15.0,"loop":"hpa_sync","replicas_before":1,"replicas_after":3,"detail":{"raw":6.0,"reason":"ScaleUpLimit"}}
    {"t_s":30.25,"loop":"hpa_sync","replicas_before":1,"replicas_after":3,"detail":{"raw":6.0,"reason":"ScaleUpLimit"}}
    "#);
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 =
            self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_fills_up_is_told_at_the_end() {
    let (mut csv, mut jsonl) =
        (RequestsCsv::new(Full(20_000), Names::default()), DecisionsJsonl::new(Full(20_000)));
    for i in 0..1000 {
        csv.request(&finished(i, 1.0, 0.1, 1.0));
        jsonl.decision(&decision(15.0));
    }
    let errors = [csv.finish().err(), jsonl.finish().err()];
    for error in errors {
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results.csv");
    replace(&path, b"one").expect("written");
    replace(&path, b"two").expect("written again");
    assert_eq!(fs::read(&path).expect("there"), b"two");
    let problem = replace(&folder.path().join("none/results.csv"), b"x").expect_err("no folder");
    assert!(problem.message.starts_with("cannot write ") && problem.help.is_some());
    assert!(replace(folder.path(), b"x").is_err(), "a folder is no file");
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1, "nothing is left behind");
}

// --- the folder of a run ---

fn input(role: &str) -> Input {
    Input { role: role.to_owned(), extension: "toml".to_owned(), bytes: b"name = \"x\"\n".to_vec() }
}

fn series_header() -> wal::Header {
    let start = UnixMillis(1_767_600_000_000);
    wal::Header { start, options: QueryOptions::default(), metrics: MetricsRelease::default() }
}

/// Writes the folder of a run of one request.
fn write_folder(path: &Path, requests: bool) -> Result<(), dryscale::problem::Problem> {
    let mut folder = Folder::create(path, &[input("policy")], Names::default(), requests, &series_header())?;
    let (answer, _) = run(scoring(), |records| {
        let mut fan = Fan(vec![records, &mut folder]);
        fan.request(&finished(0, 1.0, 0.5, 3.0));
        fan.tick(&TickRecord { at: at(5.0), arrived: 1, ..TickRecord::default() });
        fan.decision(&decision(5.0));
        fan.pod(&pod(0, "vllm-0"));
        fan.end(&RunTotals { ended: at(10.0), ..RunTotals::default() });
    });
    folder.finish(&answer)
}

fn tree(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_leaves_a_whole_folder_that_the_next_run_may_replace() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("runs/a");
    write_folder(&path, true).expect("written");
    assert_eq!(
        tree(&path),
        [
            "decisions.jsonl",
            "inputs",
            "pods.csv",
            "requests.csv",
            "series.jsonl",
            "summary.json",
            "timeline.csv"
        ]
    );
    let series = fs::read_to_string(path.join(SERIES)).expect("the series");
    assert_eq!(series.lines().last(), Some(r#"{"end":{"t_s":10}}"#));
    assert_eq!(tree(&path.join("inputs")), ["policy.toml"]);
    let summary = fs::read_to_string(path.join("summary.json")).expect("the summary");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&summary).expect("JSON")["requests"]["arrived"], 1);
    assert_eq!(fs::read_to_string(path.join("requests.csv")).expect("requests").lines().count(), 2);

    write_folder(&path, false).expect("written again");
    assert_eq!(
        tree(&path),
        ["decisions.jsonl", "inputs", "pods.csv", "series.jsonl", "summary.json", "timeline.csv"]
    );
    assert_eq!(tree(&temporary.path().join("runs")), ["a"], "nothing is left beside it");
}

#[test]
fn an_empty_folder_may_be_filled_and_a_link_stays_a_link() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (real, link) = (temporary.path().join("real"), temporary.path().join("link"));
    fs::create_dir(&real).expect("made");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    write_folder(&link, true).expect("written");
    assert!(link.is_symlink() && real.join("summary.json").exists());
}

#[test]
fn what_no_run_wrote_is_never_replaced() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("a");
    let refused = |why: &str| {
        let before = tree(&path);
        let problem = write_folder(&path, true).expect_err("refused");
        assert!(problem.message.ends_with(why) && problem.help.is_some(), "{problem}");
        assert_eq!((tree(&path), tree(temporary.path())), (before, vec!["a".to_owned()]));
    };
    fs::create_dir(&path).expect("made");
    fs::write(path.join("thesis.tex"), "x").expect("written");
    refused("holds thesis.tex, which no run wrote there");
    fs::remove_file(path.join("thesis.tex")).expect("removed");
    // Files with our names but without our summary.
    fs::write(path.join("timeline.csv"), "x").expect("written");
    refused("holds timeline.csv, which no run wrote there");
    fs::write(path.join("summary.json"), "{\"total\": 1}").expect("written");
    refused("holds summary.json, which no run wrote there");
    fs::remove_dir_all(&path).expect("removed");

    write_folder(&path, true).expect("written");
    fs::write(path.join("notes.txt"), "x").expect("written");
    refused("holds notes.txt, which no run wrote there");
    fs::remove_file(path.join("notes.txt")).expect("removed");
    fs::write(path.join("inputs/mine.toml"), "x").expect("written");
    refused("holds inputs/mine.toml, which no run wrote there");
    fs::remove_file(path.join("inputs/mine.toml")).expect("removed");
    write_folder(&path, true).expect("written");
}

#[test]
fn a_place_that_cannot_be_is_refused_before_the_run() {
    let temporary = tempfile::tempdir().expect("a folder");
    let file = temporary.path().join("file");
    fs::write(&file, "x").expect("written");
    for path in [Path::new("/"), Path::new(".."), &file, &file.join("below"), Path::new("/proc/none")] {
        let created = Folder::create(path, &[], Names::default(), true, &series_header());
        assert!(created.expect_err("refused").help.is_some(), "{}", path.display());
    }
    assert_eq!(fs::read(&file).expect("there"), b"x");
}

#[test]
fn a_run_that_does_not_end_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("a");
    let folder =
        Folder::create(&path, &[input("policy")], Names::default(), true, &series_header()).expect("begun");
    assert_eq!(tree(temporary.path()).len(), 1);
    drop(folder);
    assert!(tree(temporary.path()).is_empty());
}

#[test]
fn what_came_to_the_place_during_the_run_is_not_lost() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("a");
    let mut folder = Folder::create(&path, &[], Names::default(), true, &series_header()).expect("begun");
    let (answer, _) = run(scoring(), |records| {
        Fan(vec![records, &mut folder]).end(&RunTotals { ended: at(10.0), ..RunTotals::default() });
    });
    fs::create_dir(&path).expect("made");
    fs::write(path.join("thesis.tex"), "x").expect("written");
    assert!(folder.finish(&answer).is_err());
    assert_eq!((tree(&path), tree(temporary.path())), (vec!["thesis.tex".to_owned()], vec!["a".to_owned()]));
}

// --- sweeps ---

fn swept(axes: &[(&str, Vec<toml::Value>)], seeds: u32) -> (Plan, Swept) {
    let axes =
        axes.iter().map(|(key, values)| Axis { key: (*key).to_owned(), values: values.clone() }).collect();
    swept_grids(&[axes], seeds)
}

fn swept_grids(grids: &[Vec<Axis>], seeds: u32) -> (Plan, Swept) {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = Plan::new(&Sawing, grids, dryscale::analysis::seeds(1, seeds)).expect("a plan");
    let mut journal = Journal::open(&folder.path().join("journal"), &plan, false).expect("opens");
    let swept = sweep(&plan, &Sawing, &mut journal, 2, &Stop::new(), &|_| ()).expect("runs");
    (plan, swept)
}

fn values(values: impl IntoIterator<Item = impl Into<toml::Value>>) -> Vec<toml::Value> {
    values.into_iter().map(Into::into).collect()
}

#[test]
fn the_table_of_a_sweep_is_ranked_and_says_what_to_take() {
    let query = "sum(vllm:num_requests_waiting)\n + sum(vllm:num_requests_running)";
    let (plan, swept) = swept(&[("serving.mode", values([query, "b"])), ("size", values([1, 3, 5]))], 1);
    let text = table(&plan, &swept, &swept.ranking(), "$");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
    insta::assert_snapshot!(text, @r#"
            mode                           size     cost   SLO met   p95 TTFT   replicas
    ─────────────────────────────────────────────────────────────────────────────────────
     best   sum(vllm:num_r…ests_running)      3    $9.00   100.0 %     0.19 s        3.0
     2nd    b                                 3    $9.00   100.0 %     0.19 s        3.0
            sum(vllm:num_r…ests_running)      5   $15.00   100.0 %     0.19 s        5.0
            b                                 5   $15.00   100.0 %     0.19 s        5.0
            sum(vllm:num_r…ests_running)      1    $3.00    20.0 %      120 s        1.0
            b                                 1    $3.00    20.0 %      120 s        1.0

    Cheapest of the 4 of 6 points that meet the SLO: mode = sum(vllm:num_r…ests_running), size = 3 for
    $9.00.
    Runner-up: mode = b, size = 3 for $9.00.
    "#);
}

#[test]
fn the_table_says_when_none_meets_the_slo_and_what_failed() {
    let (plan, swept) = swept(&[("x.size", values([1])), ("fail", values(["no", "panic"]))], 3);
    let text = table(&plan, &swept, &swept.ranking(), "$");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
    insta::assert_snapshot!(text, @r#"
         fail            cost        SLO met
    ─────────────────────────────────────────
         no      $9.00 ± 0.00   59.9 ± 0.1 %
         panic         failed

    None of 2 points meets the SLO. Nearest: fail = no with 59.9 ± 0.1 %.
    1 point failed.
    "#);
}

#[test]
fn grids_with_other_keys_share_a_table_and_a_file() {
    let axis = |key: &str, values: Vec<toml::Value>| Axis { key: key.to_owned(), values };
    let grids = [
        vec![axis("policy", values(["queue", ""])), axis("policy.threshold", values([2, 4]))],
        vec![axis("size", values([1, 3]))],
    ];
    let (plan, swept) = swept_grids(&grids, 1);
    insta::assert_snapshot!(table(&plan, &swept, &swept.ranking(), "$"), @r#"
            policy   threshold   size    cost   SLO met   p95 TTFT   replicas   reversals
    ──────────────────────────────────────────────────────────────────────────────────────
     best                           3   $9.00   100.0 %     0.19 s        3.0           0
            queue            2          $9.00    60.0 %      120 s        3.0          22
            queue            4          $9.00    60.0 %      120 s        3.0          22
                             2          $9.00    60.0 %      120 s        3.0          22
                             4          $9.00    60.0 %      120 s        3.0          22
                                    1   $3.00    20.0 %      120 s        1.0           0

    The only one of 6 points that meets the SLO: size = 3 for $9.00.
    "#);
    let rows = results::read(&results::write(&plan, &swept)).expect("read back");
    for (row, point) in rows.iter().zip(&plan.points) {
        let settings = point.settings.iter().map(|s| (s.key.clone(), s.text()));
        assert_eq!(row.settings, settings.collect::<Vec<_>>());
    }
}

#[test]
fn a_sweep_as_json_names_its_best_point() {
    let (plan, swept) = swept(&[("size", values([1, 3])), ("fail", values(["no", "panic"]))], 1);
    let json = sweep_json(&plan, &swept, &swept.ranking());
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    let ids: Vec<&serde_json::Value> =
        json["points"].as_array().expect("points").iter().map(|point| &point["id"]).collect();
    assert_eq!((ids.len(), &json["best"], &json["runner_up"]), (4, ids[2], &serde_json::Value::Null));
    assert_eq!(json["points"][2]["settings"], serde_json::json!({ "size": 3, "fail": "no" }));
    assert_eq!(json["points"][2]["summary"]["replicas"]["max"], 3);
    assert!(json["points"][3]["summary"].is_null() && json["points"][3]["error"].is_string());
}

#[test]
fn results_are_read_back_as_they_were_written() {
    let awkward = ["a,b\n\"c\"", "=1+1", "-2", "'x"];
    let (plan, swept) = swept(&[("serving.mode", values(awkward)), ("fail", values(["no", "panic"]))], 2);
    let text = results::write(&plan, &swept);
    let rows = results::read(&text).expect("read back");
    assert_eq!(rows.len(), 8);
    for (row, result) in rows.iter().zip(&swept.results) {
        assert_eq!(
            (row.id.as_str(), row.standing()),
            (plan.points[result.point].id.to_string().as_str(), result.standing())
        );
        let settings = plan.points[result.point].settings.iter().map(|s| (s.key.clone(), s.text()));
        assert_eq!(row.settings, settings.collect::<Vec<_>>());
        match &result.outcome {
            Ok(answer) => {
                for (key, number) in answer.numbers() {
                    assert_eq!(row.numbers[&key], number, "{key}");
                }
                let low = answer.interval("ttft_s.p95").and_then(|interval| interval.low);
                assert_eq!(row.numbers["ttft_s.p95.low"], low);
            }
            Err(bug) => assert_eq!(row.error.as_deref(), Some(bug.to_string().as_str())),
        }
    }
    assert!(!text.contains("\n=1+1") && !text.contains(",=1+1"));
}

#[test]
fn points_with_other_classes_have_their_own_columns_whatever_the_names() {
    let (plan, swept) = swept(&[("class", values(["a.b", "=c,d"]))], 1);
    let rows = results::read(&results::write(&plan, &swept)).expect("read back");
    let attainment = |row: usize, class: &str| rows[row].numbers[&format!("slo.classes.{class}.attainment")];
    assert!(attainment(0, "a.b").is_some() && attainment(1, "=c,d").is_some());
    assert_eq!((attainment(0, "=c,d"), attainment(1, "a.b")), (None, None));
}

#[test]
fn the_columns_of_the_results() {
    let (plan, swept) = swept(&[("size", values([3]))], 1);
    let text = results::write(&plan, &swept);
    let row: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let cells: Vec<String> =
        row[0].iter().zip(&row[1]).map(|(name, cell)| format!("{name} {cell}")).collect();
    insta::assert_snapshot!(cells[1..].join("\n"), @r#"
    size 3
    repetitions 1
    policy_name queue-threshold-2
    duration_s 7200
    requests.arrived 36038
    requests.finished 36038
    requests.aborted 0
    requests.killed 0
    requests.refused 0
    requests.waiting 0
    requests.running 0
    requests.attempts 36038
    ttft_s.mean 0.1494888451079385
    ttft_s.p50 0.149000000001
    ttft_s.p90 0.189999999999
    ttft_s.p95 0.194999999999
    ttft_s.p99 0.198999999999
    ttft_s.max 0.199000000001
    itl_s.mean 0.022
    itl_s.p50 0.021944598527
    itl_s.p90 0.021944598527
    itl_s.p95 0.021944598527
    itl_s.p99 0.021944598527
    itl_s.max 0.022
    tpot_s.mean 0.024944952549995365
    tpot_s.p50 0.025
    tpot_s.p90 0.028999999999
    tpot_s.p95 0.029499999999
    tpot_s.p99 0.0298
    tpot_s.max 0.0299
    e2e_s.mean 2.6439841001165445
    e2e_s.p50 2.646
    e2e_s.p90 3.045
    e2e_s.p95 3.095
    e2e_s.p99 3.151
    e2e_s.max 3.189
    slo.attainment 1
    slo.goodput_rps 5.005277777777778
    slo.ttft_attainment 1
    slo.tpot_attainment 1
    slo.e2e_attainment 
    slo.classes.chat.attainment 1
    load.mean_rps 5.005277777777778
    load.peak_rps 5.15
    load.swings 0
    replicas.mean 3
    replicas.min 3
    replicas.max 3
    replicas.at_max_s 7200
    replicas.ready_mean 3
    replicas.ready_min 3
    replicas.ready_max 3
    gpu_hours 6
    cost 9
    scaling.ups 0
    scaling.downs 0
    scaling.reversals 0
    scaling.step_at_s 
    scaling.step_to_capacity_s 
    engine.steps 300000
    engine.preemptions 0
    engine.prefix_hit_rate 0.016
    engine.longest_queue 4
    engine.running_mean 60
    slo.met true
    warnings 0
    error
    "#);
}

#[test]
fn what_is_no_results_file_is_refused_and_never_replaced() {
    let (plan, swept) = swept(&[("size", values([3]))], 1);
    let good = results::write(&plan, &swept);
    let header = good.lines().next().expect("a header");
    let bad = [
        String::new(),
        "a,b\n1,2\n".to_owned(),
        format!("{header}\n"),
        format!("{good}x,y\n"),
        good.replacen(",3,", ",three,", 2),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results.csv");
    assert_eq!(results::may_replace(&path), Ok(()), "nothing is there");
    for text in bad {
        let problem = results::read(&text).expect_err("refused");
        assert!(problem.help.is_some(), "{problem}");
        fs::write(&path, &text).expect("written");
        assert!(results::may_replace(&path).is_err(), "{text}");
    }
    fs::write(&path, [0xff, 0xfe]).expect("written");
    assert!(results::may_replace(&path).is_err());
    fs::write(&path, good).expect("written");
    assert_eq!(results::may_replace(&path), Ok(()));
    assert!(results::may_replace(folder.path()).is_err(), "a folder");
}

#[test]
fn the_summary_is_one_object_with_the_keys_of_the_contract() {
    let (answer, _) = run(scoring(), |records| {
        records.request(&finished(0, 1.0, 0.5, 3.0));
        let mut totals = RunTotals { ended: at(600.0), attempts: 1, ..RunTotals::default() };
        totals.itl.record_n(SimDuration::from_millis(25), 100);
        records.end(&totals);
    });
    insta::assert_snapshot!(summary_json(&answer), @r#"
    {
      "policy": "queue-threshold-2",
      "summary": "Two waiting requests per replica.",
      "duration_s": 600.0,
      "requests": {
        "arrived": 1,
        "finished": 1,
        "aborted": 0,
        "killed": 0,
        "refused": 0,
        "waiting": 0,
        "running": 0,
        "attempts": 1
      },
      "ttft_s": {
        "mean": 0.5,
        "p50": 0.5,
        "p90": 0.5,
        "p95": 0.5,
        "p99": 0.5,
        "max": 0.5
      },
      "itl_s": {
        "mean": 0.025,
        "p50": 0.025,
        "p90": 0.025,
        "p95": 0.025,
        "p99": 0.025,
        "max": 0.025
      },
      "tpot_s": {
        "mean": 0.025,
        "p50": 0.025,
        "p90": 0.025,
        "p95": 0.025,
        "p99": 0.025,
        "max": 0.025
      },
      "e2e_s": {
        "mean": 3.0,
        "p50": 3.0,
        "p90": 3.0,
        "p95": 3.0,
        "p99": 3.0,
        "max": 3.0
      },
      "quantiles": {
        "exact_up_to": 200000,
        "exact": true,
        "histogram_relative_error": 0.00390625
      },
      "slo": {
        "attainment": 1.0,
        "goodput_rps": 0.0016666666666666668,
        "ttft_attainment": 1.0,
        "tpot_attainment": 1.0,
        "e2e_attainment": null,
        "met": true,
        "classes": {
          "chat": {
            "attainment": 1.0,
            "target": 0.95
          }
        }
      },
      "load": {
        "mean_rps": 0.0016666666666666668,
        "peak_rps": 0.0016666666666666668,
        "swings": 0
      },
      "replicas": {
        "mean": 0.0,
        "min": 0,
        "max": 0,
        "at_max_s": 0.0,
        "ready_mean": 0.0,
        "ready_min": 0,
        "ready_max": 0
      },
      "gpu_hours": 0.0,
      "cost": 0.0,
      "scaling": {
        "ups": 0,
        "downs": 0,
        "reversals": 0,
        "step_at_s": null,
        "step_to_capacity_s": null
      },
      "engine": {
        "steps": 0,
        "preemptions": 0,
        "prefix_hit_rate": null,
        "longest_queue": 0,
        "running_mean": 0.0
      },
      "warnings": [],
      "provenance": {
        "version": "0.1.0",
        "seed": 0,
        "inputs": {
          "policy": "abababababababababababababababababababababababababababababababab"
        }
      }
    }
    "#);
}
