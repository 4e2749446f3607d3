//! `sweep` and `export --best`: the same bytes on any number of threads, nothing lost, and what is exported was simulated.

use super::files::wait_until;
use super::{BUSY, EAGER, Shell, assert_conserved};
use serde_json::Value;

/// 64 points: overload, scale-downs that kill, clients that give up.
fn grid() -> String {
    format!(
        "policy = \"eager.toml\"\nrepetitions = 2\n{BUSY}\n[sweep]\n\
         \"policy.scaled_object.triggers.0.metadata.threshold\" = [2, 4, 6, 8, 12, 16, 24, 48]\n\
         \"policy.scaled_object.max_replica_count\" = [1, 2, 3, 5]\n\
         \"serving.router.policy\" = [\"round_robin\", \"least_requests\"]\n"
    )
}

/// The same, of two points.
fn pair() -> String {
    let (world, _) =
        grid().split_once("[sweep]").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a sweep");
    format!("{world}[sweep]\n\"policy.scaled_object.triggers.0.metadata.threshold\" = [4, 12]\n")
}

/// The same, where any point meets the SLO.
fn met() -> String {
    pair().replace("[slo]", "[slo]\nattainment = 0.001")
}

#[test]
fn a_sweep_gives_the_same_bytes_on_1_2_and_8_threads() {
    let shell = Shell::new();
    shell.write("grid.toml", grid()).write("eager.toml", EAGER);
    // A debug build recounts everything after every event: there the runs end before a scale-down.
    let (duration, shown): (_, &[_]) = if cfg!(debug_assertions) {
        ("40s", &[("requests", "aborted"), ("scaling", "ups"), ("engine", "preemptions")])
    } else {
        (
            "90s",
            &[
                ("requests", "killed"),
                ("requests", "aborted"),
                ("scaling", "downs"),
                ("engine", "preemptions"),
            ],
        )
    };
    let outputs: Vec<(String, String)> = ["1", "2", "8"]
        .iter()
        .map(|threads| {
            let arguments =
                ["sweep", "grid.toml", "--out", threads, "--threads", threads, "--duration", duration];
            let ended = shell.run(&[&arguments[..], &["--format", "json"]].concat()).expect(0);
            assert_eq!(ended.stderr, "");
            assert_eq!(shell.names(threads), ["results.csv", "sweep.json"]);
            (ended.stdout, shell.read(&format!("{threads}/results.csv")))
        })
        .collect();
    assert!(outputs[0] == outputs[1], "1 and 2 threads differ");
    assert!(outputs[0] == outputs[2], "1 and 8 threads differ");

    let told: Value = serde_json::from_str(&outputs[0].0).expect("JSON");
    let points = told["points"].as_array().expect("points");
    assert_eq!(points.len(), 64);
    let number =
        |point: &Value, table: &str, key: &str| point["summary"][table][key].as_f64().unwrap_or_default();
    let most = |table, key| points.iter().map(|point| number(point, table, key)).fold(0.0, f64::max);
    for (table, key) in shown.iter().copied() {
        assert!(most(table, key) > 0.0, "nothing is {table}.{key}: the sweep shows nothing");
    }
    // In the mean over the repetitions too, and in each row of the table.
    let mut rows = csv::Reader::from_reader(outputs[0].1.as_bytes());
    let header = rows.headers().expect("a header").clone();
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().expect("CSV");
    assert_eq!(rows.len(), 64);
    for row in &rows {
        let cell = |key: &str| -> f64 {
            let column = header.iter().position(|name| name == key).unwrap_or_else(|| panic!("no {key}"));
            row[column].parse().unwrap_or_else(|_| panic!("{key} is {:?}", &row[column]))
        };
        let fates = ["finished", "aborted", "killed", "refused", "waiting", "running"];
        let sum: f64 = fates.iter().map(|fate| cell(&format!("requests.{fate}"))).sum();
        assert_eq!(sum, cell("requests.arrived"), "{row:?}");
    }
}

#[test]
fn a_sweep_is_the_runs_of_its_points() {
    let shell = Shell::new();
    shell.write("pair.toml", pair()).write("eager.toml", EAGER);
    let swept = shell.run(&["sweep", "pair.toml", "--format", "json", "--repetitions", "1"]).expect(0).json();
    for point in swept["points"].as_array().expect("points") {
        let key = "policy.scaled_object.triggers.0.metadata.threshold";
        let setting = format!("{key}={}", point["settings"][key]);
        let alone = shell.summary(&["--experiment", "pair.toml", "--repetitions", "1", "--set", &setting]);
        for table in ["requests", "ttft_s", "replicas", "scaling", "engine", "slo"] {
            assert_eq!(point["summary"][table], alone[table], "{setting}: {table}");
        }
        assert_conserved(&alone["requests"]);
    }
}

#[test]
fn an_interrupted_sweep_goes_on_to_the_same_bytes() {
    let shell = Shell::new();
    shell.write("grid.toml", grid()).write("eager.toml", EAGER);
    let arguments = ["sweep", "grid.toml", "--duration", "40s", "--out"];
    shell.run(&[&arguments[..], &["whole"]].concat()).expect(0);
    shell.run(&[&arguments[..], &["cut", "--threads", "1"]].concat()).expect(0);
    assert!(shell.read("whole/results.csv") == shell.read("cut/results.csv"));

    interrupt(&shell, &[&arguments[..], &["cut", "--threads", "1"]].concat(), "cut/results.csv.journal");
    let anew = shell.run(&[&arguments[..], &["cut"]].concat());
    if anew.code == 3 {
        assert!(anew.stderr.contains("go on with --resume"), "{}", anew.told());
        shell.run(&[&arguments[..], &["cut", "--resume"]].concat()).expect(0);
    }
    assert!(shell.read("whole/results.csv") == shell.read("cut/results.csv"));
    assert_eq!(shell.names("cut"), ["results.csv", "sweep.json"]);
}

/// Presses Ctrl-C when `journal` holds a point.
fn interrupt(shell: &Shell, arguments: &[&str], journal: &str) {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_dryscale"))
        .args(arguments)
        .current_dir(shell.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let id = child.id().to_string();
    let lines = || std::fs::read_to_string(shell.path(journal)).map_or(0, |text| text.lines().count());
    wait_until(|| {
        lines() >= 2 || !Command::new("kill").args(["-0", &id]).status().expect("kill runs").success()
    });
    let _ = Command::new("kill").args(["-INT", &id]).status();
    child.wait().expect("it ends");
}

#[test]
fn a_gate_names_the_point_that_fails_it() {
    let shell = Shell::new();
    shell.write("pair.toml", pair()).write("met.toml", met()).write("eager.toml", EAGER);
    let gate = |gate: &str| {
        let setting = format!("gate={gate}");
        shell.run(&["sweep", "met.toml", "--duration", "30s", "--out", "o", "--set", &setting])
    };
    gate("{assert=['cost<100']}").expect(0);
    gate("{assert=['cost<100'],of='every'}").expect(0);
    let failed = gate("{assert=['cost<0'],of='every'}").expect(1);
    for threshold in ["4", "12"] {
        assert!(
            failed.stderr.contains(&format!("threshold={threshold}: assertion failed: cost<0")),
            "{}",
            failed.told()
        );
    }
    let none = ["sweep", "pair.toml", "--duration", "30s", "--out", "p", "--set", "gate.assert=['cost<100']"];
    let none = shell.run(&none).expect(1);
    assert!(none.stderr.contains("no point meets the SLO"), "{}", none.told());
    assert!(!none.stdout.contains("dryscale export"), "{}", none.told());
    let refused = gate("{assert=['cots<0']}").expect(3);
    assert!(refused.stderr.contains("did you mean `cost`?"), "{}", refused.told());
}

#[test]
fn a_sweep_that_is_refused_leaves_nothing() {
    let shell = Shell::new();
    let lines: String = (0..3000).map(|i| format!("{i},10,10\n")).collect();
    shell
        .write("pair.toml", pair())
        .write("eager.toml", EAGER)
        .write("trace.csv", format!("timestamp,prompt_tokens,output_tokens\n{lines}1,10,10\n"));
    let cases: &[(&[&str], &str)] = &[
        (&["sweep", "default", "--out", "o"], "this experiment has no [sweep]"),
        (
            &["sweep", "pair.toml", "--out", "o", "--trace", "trace.csv", "--duration", "2h"],
            "trace.csv:3002:1",
        ),
        (&["sweep", "pair.toml", "--out", "o", "--set", "serving.x=1"], "unknown key `x`"),
        (&["sweep", "pair.toml", "--out", "trace.csv"], "cannot write trace.csv"),
        (&["sweep", "pair.toml", "--out", "/proc/x"], "cannot write /proc/x"),
    ];
    let before = shell.names(".");
    for (arguments, message) in cases {
        let ended = shell.run(arguments).expect(3);
        assert_eq!(ended.stdout, "", "{}", ended.told());
        assert!(ended.stderr.contains(message), "{}", ended.told());
        assert_eq!(shell.names("."), before, "{}", ended.told());
    }
}

#[test]
fn what_is_exported_is_what_was_simulated() {
    let shell = Shell::new();
    shell
        .write("a/pair.toml", pair().replace("[slo]", "[slo]\nattainment = 0.001"))
        .write("a/eager.toml", EAGER);
    let set = ["--set", "policy.scaled_object.max_replica_count=4"];
    shell.run(&[&["sweep", "a/pair.toml", "--out", "b", "--duration", "60s"][..], &set].concat()).expect(0);
    let export = ["export", "--best", "b/results.csv"];
    let exported = shell.run(&export).expect(0);
    assert!(exported.stdout.contains("maxReplicaCount: 4"), "{}", exported.told());
    let moved = shell.run(&[&export[..], &["--set", "target.namespace=prod"]].concat()).expect(0);
    assert!(moved.stdout.contains("namespace: prod"), "{}", moved.told());
    shell.write("a/eager.toml", EAGER.replace("\"6\"", "\"7\""));
    let changed = shell.run(&export).expect(3);
    assert!(changed.stderr.contains("run the sweep again"), "{}", changed.told());
    let foreign = shell.run(&["export", "--best", "a/pair.toml"]).expect(3);
    assert!(foreign.stderr.contains("give the results.csv"), "{}", foreign.told());
}
