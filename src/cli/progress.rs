//! Progress on stderr, where somebody is looking.

use crate::analysis::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Nobody wants to see a bar flash by.
const QUIET_FOR: Duration = Duration::from_millis(500);

/// A bar that shows itself after half a second, if stderr is a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    /// A bar of `length` steps; `template` is indicatif's.
    pub(super) fn new(length: u64, template: &str) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let shown = Bar { bar, started: Instant::now() };
        if !target.is_hidden() {
            shown.bar.set_draw_target(target);
        }
        shown
    }

    /// `done` steps are done.
    pub(super) fn at(&self, done: u64) {
        if self.started.elapsed() >= QUIET_FOR {
            self.bar.set_position(done);
        }
    }

    /// How far a sweep is, and how much longer it takes.
    pub(super) fn sweep(&self, progress: Progress) {
        let eta = progress.eta(self.started.elapsed()).map(|eta| Duration::from_secs(eta.as_secs()));
        let eta =
            eta.map_or_else(String::new, |eta| format!("about {} left", humantime::format_duration(eta)));
        self.bar.set_message(eta);
        self.bar.set_position(progress.done as u64);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
