//! The families of distributions, with parameters that have been checked.

use super::sampler::Sampler;
use super::table::{Pick, Table};
use super::{gamma, normal};
use crate::random::Stream;
use std::sync::Arc;

/// A distribution before its bounds.
#[derive(Clone, Debug)]
pub(super) enum Family {
    /// Always this value.
    Constant(f64),
    /// Flat from `low` to `low + width`.
    Uniform { low: f64, width: f64 },
    /// Gaussian.
    Normal { mean: f64, sd: f64 },
    /// Its logarithm is Gaussian.
    Lognormal { mu: f64, sigma: f64 },
    /// Memoryless.
    Exponential { mean: f64 },
    /// The sum of `shape` exponentials.
    Gamma { shape: f64, scale: f64 },
    /// An exponential to the power 1 / `shape`.
    Weibull { shape: f64, scale: f64 },
    /// P(X > x) = (xm / x)^alpha for x >= xm.
    Pareto { alpha: f64, xm: f64 },
    /// Values with weights: a histogram or Zipf's law.
    Table(Table),
    /// Values seen somewhere, sorted, each as likely as the others.
    Empirical(Arc<[f64]>),
    /// One of the parts, then a draw of it.
    Mixture { pick: Pick, weights: Vec<f64>, parts: Vec<Sampler> },
}

impl Family {
    /// One draw. All but gamma, tables, empirical values and mixtures take exactly one number from the stream, a constant
    /// none.
    pub(super) fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Family::Constant(value) => *value,
            Family::Gamma { shape, scale } => scale * gamma::draw(*shape, stream),
            Family::Table(table) => table.draw(stream),
            Family::Empirical(values) => values[stream.below(values.len() as u64) as usize],
            Family::Mixture { pick, parts, .. } => parts[pick.draw(stream)].sample(stream),
            _ => self.quantile(stream.open_unit()),
        }
    }

    /// The smallest x with P(X <= x) >= u, for u in (0, 1).
    pub(super) fn quantile(&self, u: f64) -> f64 {
        match self {
            Family::Constant(value) => *value,
            Family::Uniform { low, width } => low + width * u,
            Family::Normal { mean, sd } => mean + sd * normal::quantile(u),
            Family::Lognormal { mu, sigma } => libm::exp(mu + sigma * normal::quantile(u)),
            Family::Exponential { mean } => -mean * libm::log1p(-u),
            Family::Gamma { shape, scale } => scale * gamma::quantile(*shape, u),
            Family::Weibull { shape, scale } => scale * libm::pow(-libm::log1p(-u), 1.0 / shape),
            Family::Pareto { alpha, xm } => xm * libm::exp(-libm::log1p(-u) / alpha),
            Family::Table(table) => table.quantile(u),
            Family::Empirical(values) => {
                let rank = libm::ceil(u * values.len() as f64) as usize;
                values[rank.clamp(1, values.len()) - 1]
            }
            Family::Mixture { parts, .. } => self.mixture_quantile(parts, u),
        }
    }

    /// P(X <= x), or P(X < x) where `inclusive` is false.
    pub(super) fn cumulative(&self, x: f64, inclusive: bool) -> f64 {
        let inside = |value: f64| if inclusive { value <= x } else { value < x };
        match self {
            Family::Constant(value) => f64::from(u8::from(inside(*value))),
            Family::Uniform { low, width } if *width == 0.0 => f64::from(u8::from(inside(*low))),
            Family::Uniform { low, width } => ((x - low) / width).clamp(0.0, 1.0),
            Family::Normal { mean, sd } if *sd == 0.0 => f64::from(u8::from(inside(*mean))),
            Family::Normal { mean, sd } => normal::cumulative((x - mean) / sd),
            Family::Lognormal { mu, sigma } if *sigma == 0.0 => f64::from(u8::from(inside(libm::exp(*mu)))),
            _ if x <= 0.0
                && !matches!(self, Family::Table(_) | Family::Empirical(_) | Family::Mixture { .. }) =>
            {
                0.0
            }
            Family::Lognormal { mu, sigma } => normal::cumulative((libm::log(x) - mu) / sigma),
            Family::Exponential { mean } => -libm::expm1(-x / mean),
            Family::Gamma { shape, scale } => gamma::cumulative(*shape, x / scale),
            Family::Weibull { shape, scale } => -libm::expm1(-libm::pow(x / scale, *shape)),
            Family::Pareto { alpha, xm } => (-libm::expm1(alpha * libm::log(xm / x))).max(0.0),
            Family::Table(table) => table.cumulative(inside),
            Family::Empirical(values) => values.partition_point(|v| inside(*v)) as f64 / values.len() as f64,
            Family::Mixture { weights, parts, .. } => {
                parts.iter().zip(weights).map(|(part, weight)| weight * part.cumulative(x, inclusive)).sum()
            }
        }
    }

    /// A mixture's quantile lies between the least and the greatest of its parts' quantiles: bisection between them.
    fn mixture_quantile(&self, parts: &[Sampler], u: f64) -> f64 {
        let quantiles = parts.iter().map(|part| part.quantile(u));
        let (mut low, mut high) =
            quantiles.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), q| (low.min(q), high.max(q)));
        // 100 halvings leave 2^-100 of the bracket, less than an `f64` resolves unless the parts differ by 10^15.
        for _ in 0..100 {
            let middle = low + 0.5 * (high - low);
            if middle <= low || middle >= high {
                break;
            }
            if self.cumulative(middle, true) >= u { high = middle } else { low = middle }
        }
        high
    }
}
