//! The gamma distribution with scale 1: draws, distribution function, quantile.

use super::normal;
use crate::random::Stream;

/// One draw of a gamma distribution of `shape` > 0 and scale 1.
///
/// Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000). Each try takes two
/// uniform numbers (a normal by its quantile, and the test); at least 95 of 100 tries are taken. A shape below 1 takes
/// one more at the start, by gamma(a) = gamma(a + 1) U^(1/a).
pub(super) fn draw(shape: f64, stream: &mut Stream) -> f64 {
    let (boost, shape) =
        if shape < 1.0 { (libm::pow(stream.open_unit(), 1.0 / shape), shape + 1.0) } else { (1.0, shape) };
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let z = normal::quantile(stream.open_unit());
        let u = stream.open_unit();
        let v = 1.0 + c * z;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(u) < 0.5 * z * z + d - d * v + d * libm::log(v) {
            return boost * d * v;
        }
    }
}

/// P(a, x): the probability that a gamma of shape `a` and scale 1 is at most `x`; relative error 1e-13 for shapes
/// up to 100, growing to 1e-8 at 10^6.
pub(super) fn cumulative(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return 1.0;
    }
    let front = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 { front * lower_series(a, x) } else { 1.0 - front * upper_fraction(a, x) }
}

/// The quantile at `u` in (0, 1), by Newton's method inside a shrinking bracket.
pub(super) fn quantile(a: f64, u: f64) -> f64 {
    // For x near 0, P(a, x) is x^a / Gamma(a + 1) from below, so this start is never above the quantile.
    let floor = libm::exp((libm::log(u) + libm::lgamma(a + 1.0)) / a);
    if floor < f64::MIN_POSITIVE {
        return 0.0;
    }
    let mut low = floor;
    let mut high = (2.0 * floor).max(a + 1.0);
    while cumulative(a, high) < u {
        low = high;
        high *= 2.0;
    }
    // Wilson and Hilferty: the cube root of a gamma is nearly normal.
    let root = 1.0 - 1.0 / (9.0 * a) + normal::quantile(u) / (3.0 * libm::sqrt(a));
    let mut x = (a * root * root * root).max(low).min(high);
    // Bisection alone would be done after 64 halvings of the bracket; Newton's steps need about six.
    for _ in 0..64 {
        let miss = cumulative(a, x) - u;
        if miss < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let density = libm::exp((a - 1.0) * libm::log(x) - x - libm::lgamma(a));
        let newton = x - miss / density;
        // Written so that a step that is no number is refused too.
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - x).abs() <= 1e-14 * x {
            return next;
        }
        x = next;
    }
    x
}

/// Sum of x^n / (a (a+1) ... (a+n)): P(a, x) without its front factor, for x < a + 1.
fn lower_series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    let mut n = a;
    while term > sum * 1e-17 {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    sum
}

/// Q(a, x) = 1 - P(a, x) without its front factor, for x >= a + 1: Lentz's evaluation of the continued fraction.
fn upper_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    let mut i = 0.0;
    loop {
        i += 1.0;
        let numerator = i * (a - i);
        b += 2.0;
        d = 1.0 / nonzero(numerator * d + b, TINY);
        c = nonzero(b + numerator / c, TINY);
        let factor = d * c;
        fraction *= factor;
        // The fraction converges within a few times sqrt(a) terms; the second test only guards against a stall.
        if (factor - 1.0).abs() < 1e-15 || i > 1e5 {
            return fraction;
        }
    }
}

fn nonzero(x: f64, tiny: f64) -> f64 {
    if x.abs() < tiny { tiny } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn the_distribution_function_has_its_closed_forms() {
        for x in [0.01_f64, 0.5, 1.0, 3.0, 20.0] {
            assert!((cumulative(1.0, x) - (1.0 - (-x).exp())).abs() < 1e-14, "exponential at {x}");
            assert!((cumulative(0.5, x) - libm::erf(x.sqrt())).abs() < 1e-14, "chi-square at {x}");
        }
    }

    #[test]
    fn the_quantile_inverts_the_distribution_function() {
        for a in [0.05, 0.5, 1.0, 2.5, 80.0, 1e5] {
            for u in [1e-9, 0.01, 0.3, 0.5, 0.9, 0.999_99] {
                let x = quantile(a, u);
                assert!(x == 0.0 || (cumulative(a, x) / u - 1.0).abs() < 1e-8, "{a} {u}: {x}");
            }
        }
    }

    #[test]
    fn draws_have_the_mean_and_variance_of_their_shape() {
        for (i, shape) in [0.3, 1.0, 7.0].into_iter().enumerate() {
            let mut stream = Streams::new(3).named("gamma").at(i as u64);
            let n = 200_000;
            let draws: Vec<f64> = (0..n).map(|_| draw(shape, &mut stream)).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(n);
            let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
            assert!((mean / shape - 1.0).abs() < 0.02, "{shape}: mean {mean}");
            assert!((variance / shape - 1.0).abs() < 0.05, "{shape}: variance {variance}");
        }
    }
}
