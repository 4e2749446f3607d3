//! Which point to take: the cheapest that meets the SLO.

use std::cmp::Ordering;

/// What a point is ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Whether it meets the SLO; `None` where there is none.
    pub met: Option<bool>,
    /// Share of requests that met every target.
    pub attainment: Option<f64>,
    /// What it costs; `None` for a point that failed.
    pub cost: Option<f64>,
}

/// Points in order: those that meet the SLO by cost, then the rest by attainment; failed ones last. Equals keep their
/// order in the grid. Where there is no SLO, all go by cost.
///
/// ```
/// use dryscale::analysis::{Ranking, Standing};
/// let point = |met, cost| Standing { met: Some(met), attainment: None, cost: Some(cost) };
/// let ranking = Ranking::of(&[point(true, 9.0), point(false, 3.0), point(true, 7.0)]);
/// assert_eq!((ranking.best(), ranking.runner_up()), (Some(2), Some(0)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// Indices into what was ranked, best first.
    pub order: Vec<usize>,
    best: Option<usize>,
    runner_up: Option<usize>,
}

impl Ranking {
    /// Ranks the points.
    pub fn of(standings: &[Standing]) -> Ranking {
        let mut order: Vec<usize> = (0..standings.len()).collect();
        order.sort_by(|&a, &b| compare(&standings[a], &standings[b]));
        let mut good = order.iter().copied().filter(|&i| tier(&standings[i]) == Tier::Good);
        let (best, runner_up) = (good.next(), good.next());
        Ranking { order, best, runner_up }
    }

    /// The cheapest that meets the SLO; `None` if none does.
    pub fn best(&self) -> Option<usize> {
        self.best
    }

    /// The next cheapest that meets it.
    pub fn runner_up(&self) -> Option<usize> {
        self.runner_up
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Good,
    Misses,
    Failed,
}

fn tier(standing: &Standing) -> Tier {
    match standing {
        Standing { cost: None, .. } => Tier::Failed,
        Standing { met: Some(false), .. } => Tier::Misses,
        _ => Tier::Good,
    }
}

fn compare(a: &Standing, b: &Standing) -> Ordering {
    let by_cost = || ascending(a.cost, b.cost);
    let by_attainment = || ascending(b.attainment, a.attainment);
    tier(a).cmp(&tier(b)).then_with(|| match tier(a) {
        Tier::Misses => by_attainment().then_with(by_cost),
        _ => by_cost().then_with(by_attainment),
    })
}

/// `None` is less than every number.
fn ascending(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.is_some().cmp(&b.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(met: Option<bool>, attainment: f64, cost: f64) -> Standing {
        Standing { met, attainment: Some(attainment), cost: Some(cost) }
    }

    #[test]
    fn the_cheapest_that_meets_the_slo_wins_and_the_next_cheapest_is_its_runner_up() {
        let ranking = Ranking::of(&[
            standing(Some(false), 0.60, 1.0),
            standing(Some(true), 0.97, 9.0),
            standing(Some(true), 0.96, 7.0),
            Standing::default(),
            standing(Some(false), 0.94, 5.0),
            standing(Some(true), 0.99, 9.0),
        ]);
        assert_eq!(ranking.order, [2, 5, 1, 4, 0, 3]);
        assert_eq!((ranking.best(), ranking.runner_up()), (Some(2), Some(5)));
    }

    #[test]
    fn none_is_best_when_none_meets_the_slo() {
        let ranking = Ranking::of(&[standing(Some(false), 0.6, 1.0), standing(Some(false), 0.7, 1.0)]);
        assert_eq!(
            (ranking.order.as_slice(), ranking.best(), ranking.runner_up()),
            (&[1, 0][..], None, None)
        );
    }

    #[test]
    fn without_an_slo_the_cheapest_wins_and_equals_keep_their_order() {
        let free = |cost| Standing { cost: Some(cost), ..Standing::default() };
        let ranking = Ranking::of(&[free(2.0), free(1.0), free(1.0)]);
        assert_eq!(ranking.order, [1, 2, 0]);
        assert_eq!(ranking.best(), Some(1));
    }
}
