//! Families of distributions and how they are sampled: the same bits on every machine.
//!
//! A [`Distribution`] is what a user writes, `{ dist = "lognormal", mean = 211, cv = 0.77, max = 2048 }`; its
//! [`Sampler`] is what draws. `mean`, `cv` and the like describe the distribution *before* `min` and `max` act on it.
//!
//! | `dist` | parameters |
//! |---|---|
//! | `constant` | `value` |
//! | `uniform` | `min`, `max` |
//! | `normal` | `mean` with `sd` or `cv` |
//! | `lognormal` | `mean`, `cv`; or `median`, `sigma`; or `mu`, `sigma`; or `mean`, `median` |
//! | `exponential` | `mean` |
//! | `gamma`, `weibull` | `mean`, `cv`; or `mean`, `shape`; or `shape`, `scale` |
//! | `pareto` | `alpha`, `xm` |
//! | `zipf` | `s`, `n`: 1 to n, k with a probability proportional to k^-s |
//! | `histogram` | `pmf`, and optionally `values` (1, 2, 3, ... without them) |
//! | `mixture` | `parts`: distributions, each with its weight `w` |
//! | `empirical` | `file`, `column` |
//!
//! `cv` is the standard deviation divided by the mean; `mu` and `sigma` are mean and standard deviation of the natural
//! logarithm.

mod family;
mod gamma;
pub mod normal;
mod sampler;
mod seconds;
mod spec;
mod table;
mod weibull;

pub use sampler::{Bound, Sampler};
pub use seconds::Seconds;
pub use spec::{Distribution, ReadColumn, Spread};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Place, Problem};
    use crate::random::Streams;

    fn read<V: Copy + Into<f64> + serde::de::DeserializeOwned>(text: &str) -> Distribution<V> {
        #[derive(serde::Deserialize)]
        struct File<V> {
            d: Distribution<V>,
        }
        toml::from_str::<File<V>>(&format!("d = {{ {text} }}")).map(|file| file.d).expect(text)
    }

    fn sampler(text: &str) -> Sampler {
        read::<f64>(text).sampler().expect(text)
    }

    fn moments(sampler: &Sampler, n: u32) -> (f64, f64) {
        let mut stream = Streams::new(11).stream("moments");
        let draws: Vec<f64> = (0..n).map(|_| sampler.sample(&mut stream)).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn every_family_has_the_mean_and_spread_it_promises() {
        let cases = [
            ("dist = 'constant', value = 3", 3.0, 0.0),
            ("dist = 'uniform', min = 2, max = 6", 4.0, (16.0f64 / 12.0).sqrt() / 4.0),
            ("dist = 'normal', mean = 10, sd = 2", 10.0, 0.2),
            ("dist = 'normal', mean = 10, cv = 0.3", 10.0, 0.3),
            ("dist = 'lognormal', mean = 211, cv = 0.77", 211.0, 0.77),
            (
                "dist = 'lognormal', median = 10, sigma = 0.5",
                10.0 * 0.125f64.exp(),
                (0.25f64.exp() - 1.0).sqrt(),
            ),
            ("dist = 'lognormal', mu = 1, sigma = 0.5", 1.125f64.exp(), (0.25f64.exp() - 1.0).sqrt()),
            ("dist = 'lognormal', mean = 12, median = 10", 12.0, (1.44f64 - 1.0).sqrt()),
            ("dist = 'exponential', mean = 12", 12.0, 1.0),
            ("dist = 'gamma', mean = 5, cv = 1.4", 5.0, 1.4),
            ("dist = 'gamma', shape = 4, scale = 2", 8.0, 0.5),
            ("dist = 'weibull', mean = 5, cv = 1.4", 5.0, 1.4),
            ("dist = 'weibull', shape = 2, scale = 2", std::f64::consts::PI.sqrt(), 0.522_723),
            ("dist = 'gamma', mean = 6, shape = 4", 6.0, 0.5),
            ("dist = 'weibull', mean = 6, shape = 2", 6.0, 0.522_723),
            ("dist = 'pareto', alpha = 6, xm = 5", 6.0, (1.0f64 / 24.0).sqrt()),
            ("dist = 'zipf', s = 0, n = 9", 5.0, (80.0f64 / 12.0).sqrt() / 5.0),
            ("dist = 'histogram', pmf = [0.25, 0.75]", 1.75, 0.1875f64.sqrt() / 1.75),
            ("dist = 'histogram', values = [9, 1], pmf = [0.5, 0.5]", 5.0, 0.8),
            (
                "dist = 'mixture', parts = [{ w = 3, dist = 'constant', value = 2 }, { w = 1, dist = 'constant', value = 6 }]",
                3.0,
                3f64.sqrt() / 3.0,
            ),
        ];
        for (text, mean, cv) in cases {
            let (m, c) = moments(&sampler(text), 200_000);
            assert!((m / mean - 1.0).abs() < 0.02, "{text}: mean {m} against {mean}");
            assert!((c - cv).abs() <= 0.04 * cv, "{text}: cv {c} against {cv}");
        }
    }

    #[test]
    fn quantiles_invert_the_distribution_function_of_every_continuous_family() {
        let cases = [
            "dist = 'uniform', min = 2, max = 6",
            "dist = 'normal', mean = 10, sd = 2, min = 9, bound = 'resample'",
            "dist = 'lognormal', mean = 211, cv = 0.77, max = 300, bound = 'resample'",
            "dist = 'exponential', mean = 12",
            "dist = 'gamma', mean = 5, cv = 1.4",
            "dist = 'weibull', mean = 5, cv = 1.4",
            "dist = 'pareto', alpha = 6, xm = 5",
            "dist = 'mixture', parts = [{ w = 0.9, dist = 'exponential', mean = 12 }, { w = 0.1, dist = 'lognormal', median = 80, sigma = 0.9 }]",
        ];
        for text in cases {
            let sampler = sampler(text);
            for u in [0.001, 0.3, 0.5, 0.99] {
                let back = sampler.cumulative(sampler.quantile(u), true);
                assert!((back - u).abs() < 1e-9, "{text}: {u} came back as {back}");
            }
        }
    }

    #[test]
    fn distribution_functions_agree_with_those_of_statrs() {
        use statrs::distribution::{ContinuousCDF, Gamma, LogNormal, Normal, Pareto, Weibull};
        fn agree(text: &str, other: impl ContinuousCDF<f64, f64>) {
            let sampler = sampler(text);
            for u in [0.001, 0.2, 0.5, 0.9, 0.9999] {
                let x = sampler.quantile(u);
                let (ours, theirs) = (sampler.cumulative(x, true), other.cdf(x));
                // Their normal distribution function is good to ten digits.
                assert!((ours - theirs).abs() < 1e-9, "{text} at {x}: {ours} against {theirs}");
            }
        }
        agree("dist = 'normal', mean = 10, sd = 2", Normal::new(10.0, 2.0).expect("normal"));
        agree("dist = 'lognormal', mu = 3, sigma = 0.8", LogNormal::new(3.0, 0.8).expect("lognormal"));
        agree("dist = 'weibull', shape = 0.7, scale = 3", Weibull::new(0.7, 3.0).expect("weibull"));
        agree("dist = 'pareto', alpha = 2.5, xm = 4", Pareto::new(4.0, 2.5).expect("pareto"));
        for shape in [0.2, 1.0, 3.5, 60.0] {
            let text = format!("dist = 'gamma', shape = {shape}, scale = 2");
            agree(&text, Gamma::new(shape, 0.5).expect("gamma"));
        }
    }

    #[test]
    fn draws_follow_the_distribution_function() {
        // The share of draws up to each decile: a distribution function of its own family against the draws.
        for text in [
            "dist = 'gamma', mean = 5, cv = 0.4",
            "dist = 'gamma', mean = 5, cv = 2",
            "dist = 'normal', mean = 1, sd = 2, min = 0, bound = 'resample'",
            "dist = 'zipf', s = 1.1, n = 50",
            "dist = 'mixture', parts = [{ w = 2, dist = 'uniform', min = 0, max = 1 }, { w = 1, dist = 'gamma', mean = 2, cv = 1 }]",
        ] {
            let sampler = sampler(text);
            let mut stream = Streams::new(5).stream("ks");
            let mut draws: Vec<f64> = (0..50_000).map(|_| sampler.sample(&mut stream)).collect();
            draws.sort_by(f64::total_cmp);
            for u in [0.1, 0.3, 0.5, 0.7, 0.9, 0.99] {
                let x = sampler.quantile(u);
                let share = draws.partition_point(|draw| *draw <= x) as f64 / draws.len() as f64;
                let expected = sampler.cumulative(x, true);
                assert!((share - expected).abs() < 0.01, "{text} at {x}: {share} against {expected}");
            }
        }
    }

    #[test]
    fn bounds_clamp_or_redraw() {
        let mut stream = Streams::new(1).stream("bounds");
        let clamped = sampler("dist = 'normal', mean = 0, sd = 1, min = 0");
        let redrawn = sampler("dist = 'normal', mean = 0, sd = 1, min = 0, bound = 'resample'");
        let zeros = (0..1000).filter(|_| clamped.sample(&mut stream) == 0.0).count();
        assert!((430..570).contains(&zeros), "half of the draws are clamped, {zeros} were");
        assert!((0..1000).all(|_| redrawn.sample(&mut stream) > 0.0));
        assert_eq!((clamped.cumulative(0.0, false), clamped.cumulative(0.0, true)), (0.0, 0.5));
    }

    #[test]
    fn seconds_are_written_as_durations_and_drawn_as_durations() {
        let think = read::<Seconds>("dist = 'lognormal', median = '131s', sigma = 1.96, max = '1h'");
        let sampler = think.sampler().expect("think is good");
        assert!((sampler.quantile(0.5) - 131.0).abs() < 1e-9);
        let mut stream = Streams::new(1).stream("think");
        assert!((0..1000).all(|_| sampler.sample_duration(&mut stream).as_secs_f64() <= 3600.0));
        let constant = Distribution::constant(Seconds(crate::units::SimDuration::from_millis(250)));
        assert_eq!(
            constant.sampler().expect("a constant is good").sample_duration(&mut stream).as_millis(),
            250
        );
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_key_with_a_remedy() {
        let cases = [
            ("dist = 'constant'", "dist"),
            ("dist = 'constant', value = nan", "value"),
            ("dist = 'constant', value = 1, cv = 2", "cv"),
            ("dist = 'constant', value = 1, w = 2", "w"),
            ("dist = 'uniform', min = 1", "dist"),
            ("dist = 'uniform', min = 3, max = 1", "min"),
            ("dist = 'normal', mean = 3, sd = -1", "sd"),
            ("dist = 'normal', mean = -3, cv = 1", "mean"),
            ("dist = 'normal', mean = 3, sd = 1, cv = 1", "dist"),
            ("dist = 'normal', mean = 3, sd = 1, bound = 'resample'", "bound"),
            ("dist = 'normal', mean = 0, sd = 1, min = 9, bound = 'resample'", "bound"),
            ("dist = 'lognormal', mean = 5, cv = -0.1", "cv"),
            ("dist = 'lognormal', mean = 0, cv = 0.1", "mean"),
            ("dist = 'lognormal', mean = 5, median = 6", "mean"),
            ("dist = 'lognormal', median = 5", "dist"),
            ("dist = 'lognormal', mu = inf, sigma = 1", "mu"),
            ("dist = 'exponential', mean = -12", "mean"),
            ("dist = 'gamma', mean = 5, cv = 0", "cv"),
            ("dist = 'gamma', mean = 1e307, cv = 50", "mean"),
            ("dist = 'gamma', shape = 0, scale = 1", "shape"),
            ("dist = 'weibull', mean = 5, cv = 1e9", "cv"),
            ("dist = 'pareto', alpha = 0, xm = 1", "alpha"),
            ("dist = 'zipf', s = 1, n = 0", "n"),
            ("dist = 'zipf', s = 1, n = 1000000000000", "n"),
            ("dist = 'histogram', pmf = []", "pmf"),
            ("dist = 'histogram', pmf = [0.5, nan]", "pmf.1"),
            ("dist = 'histogram', pmf = [0.5, 0.2]", "pmf"),
            ("dist = 'histogram', pmf = [1.0], values = [1, 2]", "values"),
            ("dist = 'histogram', pmf = [1.0], values = [inf]", "values.0"),
            ("dist = 'mixture', parts = []", "parts"),
            ("dist = 'mixture', parts = [{ dist = 'constant', value = 1 }]", "parts.0.w"),
            ("dist = 'mixture', parts = [{ w = 0, dist = 'constant', value = 1 }]", "parts"),
            ("dist = 'mixture', parts = [{ w = 1, dist = 'exponential', mean = -1 }]", "parts.0.mean"),
            ("dist = 'empirical', file = 'lengths.csv', column = 'tokens'", "dist"),
        ];
        for (text, key) in cases {
            let Problem { place, help, .. } = read::<f64>(text).check().expect_err(text);
            assert_eq!(place, Place::Key(key.to_owned()), "{text}");
            assert!(help.is_some(), "{text}: no remedy");
        }
    }

    #[test]
    fn empirical_values_come_from_the_reader() {
        let lengths = read::<f64>("dist = 'empirical', file = 'lengths.csv', column = 'tokens'");
        let mut stream = Streams::new(1).stream("empirical");
        let sampler = lengths
            .sampler_from(&mut |file, column| {
                assert_eq!((file, column), ("lengths.csv", "tokens"));
                Ok(vec![30.0, 10.0, 20.0])
            })
            .expect("the values are good");
        assert_eq!([0.2, 0.5, 0.9].map(|u| sampler.quantile(u)), [10.0, 20.0, 30.0]);
        assert!((0..100).all(|_| [10.0, 20.0, 30.0].contains(&sampler.sample(&mut stream))));
        for values in [vec![], vec![1.0, f64::NAN]] {
            assert!(lengths.sampler_from(&mut |_, _| Ok(values.clone())).is_err());
        }
    }
}
