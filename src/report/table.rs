//! The points of a sweep as a table, best first.

use super::estimate;
use super::number::{count, counted};
use super::wrap::{words, wrap};
use crate::analysis::{Answer, Plan, PointResult, Ranking, Setting, Swept};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// Columns of a table, and of the text below it.
pub(super) const WIDTH: usize = 100;
const VALUE_WIDTH_MAX: usize = 28;
const COST: &str = "cost";

/// The table, ranked, with the best point and its runner-up marked, and a sentence that names both. Columns that are
/// the same for all points are left out, and so are the last ones that do not fit 100 columns.
pub fn table(plan: &Plan, swept: &Swept, ranking: &Ranking, currency: &str) -> String {
    let ranked: Vec<&PointResult> = ranking.order.iter().map(|&i| &swept.results[i]).collect();
    let mut columns = settings(plan, &ranked);
    let fixed = columns.len();
    columns.extend(figures(&ranked, currency));
    let varies = |column: &Column| {
        let mut cells = column.cells.iter().filter(|cell| !cell.is_empty());
        cells.next().is_some_and(|first| cells.any(|cell| cell != first))
    };
    let mut kept = Vec::new();
    for (i, column) in columns.into_iter().enumerate() {
        // What is swept, cost and attainment are the table's subject.
        if i < fixed + 2 || varies(&column) {
            kept.push(column);
        }
    }
    let marks = ranking.order.iter().map(|&i| match i {
        _ if ranking.best() == Some(i) => "best",
        _ if ranking.runner_up() == Some(i) => "2nd",
        _ => "",
    });
    let marks = Column { name: String::new(), cells: marks.map(str::to_owned).collect(), right: false };
    let mut all: Vec<Column> = std::iter::once(marks).chain(kept).collect();
    while all.len() > fixed + 3 && all.iter().map(Column::width).sum::<usize>() > WIDTH {
        all.pop();
    }
    format!("{}\n\n{}", draw(&all), conclusion(plan, swept, ranking, currency))
}

/// A column of the table; `right` aligned for numbers.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) cells: Vec<String>,
    pub(super) right: bool,
}

impl Column {
    pub(super) fn width(&self) -> usize {
        // A blank on either side, and one between columns.
        3 + self.cells.iter().chain([&self.name]).map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

/// The columns as a table, a rule below their names.
pub(super) fn draw(columns: &[Column]) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule));
    table.set_header(columns.iter().map(|column| column.name.as_str()));
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        table.add_row(columns.iter().map(|column| column.cells[row].as_str()));
    }
    for (drawn, column) in table.column_iter_mut().zip(columns) {
        drawn.set_cell_alignment(if column.right { CellAlignment::Right } else { CellAlignment::Left });
    }
    table.trim_fmt()
}

/// A column for each key that has several values.
fn settings(plan: &Plan, ranked: &[&PointResult]) -> Vec<Column> {
    let columns = swept_keys(plan).into_iter().map(|(key, name)| {
        let settings: Vec<Option<&Setting>> =
            ranked.iter().map(|result| plan.points[result.point].setting(key)).collect();
        Column {
            name,
            cells: settings.iter().map(|setting| setting.map_or(String::new(), value)).collect(),
            right: settings.iter().flatten().all(|setting| setting.text().parse::<f64>().is_ok()),
        }
    });
    columns.collect()
}

/// The keys that not all points set alike, with the shortest name that tells each apart from all the others. Of a single
/// point, all keys.
fn swept_keys(plan: &Plan) -> Vec<(&str, String)> {
    let keys = plan.keys();
    let differ =
        |key: &str| plan.points.iter().any(|point| point.setting(key) != plan.points[0].setting(key));
    let swept = keys.iter().filter(|key| plan.points.len() == 1 || differ(key));
    swept.map(|key| (*key, short_key(key, &keys))).collect()
}

/// The shortest end of a dotted key that no other key has.
fn short_key(key: &str, keys: &[&str]) -> String {
    let starts = std::iter::once(0).chain(key.match_indices('.').map(|(dot, _)| dot + 1));
    let ends: Vec<&str> = starts.map(|start| &key[start..]).collect();
    let is_own = |end: &&&str| {
        let same = |other: &&&str| **other == **end || other.ends_with(&format!(".{end}"));
        keys.iter().filter(same).count() == 1
    };
    ends.iter().rev().find(is_own).map_or(key, |end| end).to_owned()
}

/// A value in a cell: on one line, and without its middle where it is long.
fn value(setting: &Setting) -> String {
    let text: Vec<char> = setting.text().split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if text.len() <= VALUE_WIDTH_MAX {
        return text.into_iter().collect();
    }
    let (head, tail) = (VALUE_WIDTH_MAX / 2, VALUE_WIDTH_MAX / 2 - 1);
    text[..head].iter().chain(&['…']).chain(&text[text.len() - tail..]).collect()
}

/// What is worth knowing about a point, the most important first.
fn figures(ranked: &[&PointResult], currency: &str) -> Vec<Column> {
    let column = |name: &str, cell: &dyn Fn(&Answer) -> String| Column {
        name: name.to_owned(),
        cells: ranked
            .iter()
            .map(|result| match &result.outcome {
                Ok(answer) => cell(answer),
                Err(_) if name == COST => "failed".to_owned(),
                Err(_) => String::new(),
            })
            .collect(),
        right: true,
    };
    vec![
        column(COST, &|answer| estimate::cost(answer, "cost", currency)),
        column("SLO met", &|answer| estimate::share(answer, "slo.attainment")),
        column("p95 TTFT", &|answer| estimate::duration(answer, "ttft_s.p95")),
        column("replicas", &|answer| estimate::tenths(answer, "replicas.mean")),
        column("reversals", &|answer| estimate::whole(answer, "scaling.reversals")),
        column("longest queue", &|answer| estimate::whole(answer, "engine.longest_queue")),
        column("p95 TPOT", &|answer| estimate::duration(answer, "tpot_s.p95")),
        column("p95 E2E", &|answer| estimate::duration(answer, "e2e_s.p95")),
        column("killed", &|answer| estimate::whole(answer, "requests.killed")),
    ]
}

/// Which to take, a sentence a line.
fn conclusion(plan: &Plan, swept: &Swept, ranking: &Ranking, currency: &str) -> String {
    let keys = swept_keys(plan);
    let name = |i: usize| {
        let point = &plan.points[swept.results[i].point];
        let named =
            keys.iter().filter_map(|(key, name)| Some(format!("{name} = {}", value(point.setting(key)?))));
        named.collect::<Vec<_>>().join(", ")
    };
    let answer = |i: usize| swept.results[i].outcome.as_ref().ok();
    let cost = |i: usize| answer(i).map_or(String::new(), |answer| estimate::cost(answer, "cost", currency));
    let share =
        |i: usize| answer(i).map_or(String::new(), |answer| estimate::share(answer, "slo.attainment"));

    let total = swept.results.len();
    let failed = swept.results.iter().filter(|result| result.outcome.is_err()).count();
    let has_slo = swept.results.iter().any(|result| result.standing().met.is_some());
    let meet = swept.results.iter().filter(|result| result.standing().met == Some(true)).count();
    let mut lines = Vec::new();
    lines.push(match (ranking.best(), ranking.order.first()) {
        (Some(best), _) if meet == 1 => {
            format!("The only one of {total} points that meets the SLO: {} for {}.", name(best), cost(best))
        }
        (Some(best), _) if has_slo => {
            format!(
                "Cheapest of the {meet} of {total} points that meet the SLO: {} for {}.",
                name(best),
                cost(best)
            )
        }
        (Some(best), _) => format!("Cheapest of {total} points: {} for {}.", name(best), cost(best)),
        (None, Some(&nearest)) if answer(nearest).is_some() => {
            format!(
                "None of {total} points meets the SLO. Nearest: {} with {}.",
                name(nearest),
                share(nearest)
            )
        }
        _ => "No point has a result.".to_owned(),
    });
    if let Some(second) = ranking.runner_up() {
        lines.push(format!("Runner-up: {} for {}.", name(second), cost(second)));
    }
    if failed > 0 {
        lines.push(format!("{} failed.", counted(failed as f64, "point", "points")));
    }
    if swept.stopped {
        lines.push(format!(
            "Stopped after {} of {} points.",
            count(total as f64),
            count(plan.points.len() as f64)
        ));
    }
    lines.iter().flat_map(|line| wrap(WIDTH, "", " ", &words(line))).map(|line| line + "\n").collect()
}
