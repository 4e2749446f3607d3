//! The cooldown windows: recent recommendations, and what they make of the present one (`podautoscaler_controller.go`:
//! `stabilizeRecommendation`, v0.7.0).

use super::annotations::ScalingContext;
use crate::units::{Replicas, SimDuration, SimTime};
use serde::Serialize;

/// Recommendations that are not older than the longer of both windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recommendations {
    history: Vec<(SimTime, Replicas)>,
}

/// Which of the recommendations in the window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// Upwards: the highest.
    Highest,
    /// Downwards: the lowest.
    Lowest,
    /// Nothing is to be changed.
    Current,
}

/// What the cooldown made of a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cooldown {
    /// Length of the window that counts, seconds, cut to whole ones; 0 where none does.
    pub window_s: u64,
    /// Which recommendation of the window.
    pub pick: Pick,
    /// The size after it.
    pub replicas: Replicas,
}

impl Recommendations {
    /// Stores `recommendation`, and picks among it and those of the window in its direction. The far edge is outside, so a
    /// window of 0 s leaves the recommendation as it is.
    ///
    /// Against its name the window downwards holds nothing: it takes the **lowest** of its recommendations, so that a size
    /// may fall below what is recommended now.
    pub(super) fn stabilize(
        &mut self,
        recommendation: Replicas,
        current: Replicas,
        context: &ScalingContext,
        now: SimTime,
    ) -> Cooldown {
        let (up, down) = (context.scale_up_cooldown_window, context.scale_down_cooldown_window);
        self.history.push((now, recommendation));
        let longest = up.max(down);
        self.history.retain(|&(at, _)| now.since(at) < longest);
        let within = |window: SimDuration| {
            let recent = self.history.iter().filter(move |&&(at, _)| now.since(at) < window);
            recent.map(|&(_, recommended)| recommended)
        };
        let (window, pick, picked) = if recommendation > current {
            (up, Pick::Highest, within(up).max())
        } else if recommendation < current {
            (down, Pick::Lowest, within(down).min())
        } else {
            (SimDuration::ZERO, Pick::Current, Some(current))
        };
        Cooldown { window_s: window.as_millis() / 1000, pick, replicas: picked.unwrap_or(recommendation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_secs(seconds)
    }

    fn context(up: u64, down: u64) -> ScalingContext {
        ScalingContext {
            scale_up_cooldown_window: SimDuration::from_secs(up),
            scale_down_cooldown_window: SimDuration::from_secs(down),
            ..ScalingContext::default()
        }
    }

    #[test]
    fn downwards_the_lowest_of_the_window_undershoots() {
        let (mut history, context) = (Recommendations::default(), context(0, 300));
        let mut size = |recommendation, current, t| {
            history.stabilize(Replicas(recommendation), Replicas(current), &context, at(t)).replicas.get()
        };
        assert_eq!(size(1, 4, 0), 1);
        assert_eq!(size(6, 1, 10), 6, "upwards there is no window");
        assert_eq!(size(5, 6, 20), 1, "1 was recommended 20 s ago");
        assert_eq!(size(5, 6, 299), 1);
        assert_eq!(size(5, 6, 300), 5, "the far edge is outside");
    }

    #[test]
    fn upwards_the_highest_of_the_window_overshoots() {
        let (mut history, context) = (Recommendations::default(), context(60, 0));
        let mut pick = |recommendation, current, t| {
            history.stabilize(Replicas(recommendation), Replicas(current), &context, at(t))
        };
        assert_eq!(pick(8, 4, 0).replicas, Replicas(8));
        let up = pick(3, 2, 59);
        assert_eq!((up.pick, up.window_s, up.replicas), (Pick::Highest, 60, Replicas(8)));
        assert_eq!(pick(3, 2, 60).replicas, Replicas(3));
        let down = pick(1, 2, 61);
        assert_eq!((down.pick, down.replicas), (Pick::Lowest, Replicas(1)));
        assert_eq!(pick(2, 2, 62).pick, Pick::Current);
    }

    #[test]
    fn what_is_older_than_both_windows_is_forgotten() {
        let (mut history, context) = (Recommendations::default(), context(0, 30));
        for t in 0..100 {
            history.stabilize(Replicas(2), Replicas(2), &context, at(t));
        }
        assert_eq!(history.history.len(), 30);
    }
}
