//! The course of a run as rows of blocks.

use super::duration::compact;
use crate::analysis::{Bin, Timeline};

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Load, queue and ready pods over the time of a timeline, one character a column.
pub(super) struct Sparklines {
    /// Mean requests a second.
    pub(super) load: String,
    /// Most requests that waited.
    pub(super) waiting: String,
    /// Mean of the ready pods.
    pub(super) ready: String,
    /// Marks of time below.
    pub(super) axis: String,
}

impl Sparklines {
    /// `width` columns of equal time; the same for the same ticks. `None` for a timeline without time.
    pub(super) fn of(timeline: &Timeline, width: usize) -> Option<Sparklines> {
        let end_ps = timeline.until().as_ps() as f64;
        if end_ps == 0.0 || width == 0 {
            return None;
        }
        let edge = |column: usize| end_ps * column as f64 / width as f64;
        let columns: Vec<Column> =
            (0..width).map(|i| Column::of(timeline.bins(), edge(i), edge(i + 1))).collect();
        let row = |of: fn(&Column) -> f64| columns.iter().map(of).collect::<Vec<f64>>();
        let (load, waiting, ready) = (row(|c| c.arrived), row(|c| c.queue), row(|c| c.ready));
        // A steady load lies in the middle, so that it reads as a level and not as a ceiling.
        let mean = load.iter().sum::<f64>() / width as f64;
        Some(Sparklines {
            load: line(&load, largest(&load).max(1.6 * mean), 1.0),
            // A request or two always wait for the next batch: beside a backlog they are nothing.
            waiting: line(&waiting, largest(&waiting), 0.0),
            ready: line(&ready, largest(&ready), 1.0),
            axis: axis(end_ps / 1e12, width),
        })
    }
}

/// The bins that overlap a stretch of time.
struct Column {
    arrived: f64,
    queue: f64,
    ready: f64,
}

impl Column {
    /// Between two times in picoseconds. Bins that lie in it in part count by that part, but the longest queue counts
    /// in every column that its bin touches: what waited may not disappear.
    fn of(bins: &[Bin], from: f64, to: f64) -> Column {
        let mut column = Column { arrived: 0.0, queue: 0.0, ready: 0.0 };
        let first = bins.partition_point(|bin| bin.until.as_ps() as f64 <= from);
        let mut begin = if first == 0 { 0.0 } else { bins[first - 1].until.as_ps() as f64 };
        for bin in &bins[first..] {
            let end = bin.until.as_ps() as f64;
            let inside = end.min(to) - begin.max(from);
            if inside <= 0.0 {
                break;
            }
            column.arrived += bin.arrived as f64 * inside / (end - begin);
            column.queue = column.queue.max(bin.queue as f64);
            column.ready += f64::from(bin.ready.get()) * inside / (to - from);
            begin = end;
        }
        column
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// One block a value: the lowest for nothing, the highest for `top`. Anything above nothing gets at least `least`.
fn line(values: &[f64], top: f64, least: f64) -> String {
    let highest = (BLOCKS.len() - 1) as f64;
    let block = |&value: &f64| {
        let level = if value <= 0.0 { 0.0 } else { libm::round(value / top * highest).clamp(least, highest) };
        BLOCKS[level as usize]
    };
    values.iter().map(block).collect()
}

/// Marks at round times, at most six, each where its time is.
fn axis(seconds: f64, width: usize) -> String {
    const STEPS_S: [f64; 22] = [
        1.0,
        2.0,
        5.0,
        10.0,
        15.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        900.0,
        1_800.0,
        3_600.0,
        7_200.0,
        10_800.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        1_209_600.0,
        2_592_000.0,
    ];
    let step = STEPS_S.into_iter().find(|step| seconds / step <= 5.0).unwrap_or(seconds);
    let mut axis = String::new();
    for mark in (0..6).map(|i| f64::from(i) * step) {
        let column = (mark / seconds * width as f64) as usize;
        let text = if mark == 0.0 { "0".to_owned() } else { compact(mark) };
        if column + text.len() <= width && (axis.is_empty() || column > axis.len()) {
            axis.push_str(&" ".repeat(column - axis.len()));
            axis.push_str(&text);
        }
    }
    axis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::record::{Recorder, TickRecord};
    use crate::units::{Replicas, SimDuration, SimTime};

    fn timeline(step_s: u64, ticks: &[(u64, u64, i32)]) -> Timeline {
        let mut timeline = Timeline::new();
        for (i, &(arrived, waiting, ready)) in ticks.iter().enumerate() {
            timeline.tick(&TickRecord {
                at: SimTime::ZERO + SimDuration::from_secs(step_s * (i as u64 + 1)),
                arrived,
                waiting,
                ready: Replicas(ready),
                ..TickRecord::default()
            });
        }
        timeline
    }

    #[test]
    fn a_column_shows_the_mean_load_the_longest_queue_and_the_mean_of_the_ready_pods() {
        let ticks =
            [(10, 0, 1), (10, 700, 1), (10, 1, 1), (10, 0, 3), (20, 0, 5), (60, 0, 5), (0, 0, 5), (0, 0, 5)];
        let lines = Sparklines::of(&timeline(5, &ticks), 4).expect("time passed");
        assert_eq!(
            (lines.load.as_str(), lines.waiting.as_str(), lines.ready.as_str()),
            ("▃▃█▁", "█▁▁▁", "▂▄██")
        );
    }

    #[test]
    fn fewer_ticks_than_columns_are_stretched() {
        let lines = Sparklines::of(&timeline(60, &[(60, 4, 1), (60, 0, 2)]), 8).expect("time passed");
        assert_eq!(
            (lines.load.as_str(), lines.waiting.as_str(), lines.ready.as_str()),
            ("▅▅▅▅▅▅▅▅", "████▁▁▁▁", "▅▅▅▅████")
        );
    }

    #[test]
    fn nothing_at_all_is_a_flat_line_and_no_time_is_none() {
        let lines = Sparklines::of(&timeline(5, &[(0, 0, 0)]), 4).expect("time passed");
        assert_eq!(
            (lines.load.as_str(), lines.waiting.as_str(), lines.ready.as_str()),
            ("▁▁▁▁", "▁▁▁▁", "▁▁▁▁")
        );
        assert!(Sparklines::of(&Timeline::new(), 48).is_none());
    }

    #[test]
    fn marks_stand_at_their_times() {
        assert_eq!(axis(7200.0, 48), "0           30m         1h          1h30m");
        assert_eq!(axis(3500.0, 48), "0           15m         30m          45m");
        assert_eq!(axis(600.0, 48), "0        2m        4m       6m        8m");
        assert_eq!(axis(0.5, 48), "0");
    }
}
