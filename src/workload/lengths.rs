//! How long prompts and answers are.

use crate::problem::Problem;
use crate::random::Stream;
use crate::random::distribution::{Distribution, ReadColumn, Sampler, normal};
use crate::units::Tokens;
use std::sync::Arc;

/// The greatest number of tokens a request can have: vLLM's counters are 32-bit signed integers.
pub(super) const TOKENS_MAX: u32 = i32::MAX as u32;

/// Correlation of input and output.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Joint {
    rho: f64,
}

/// Two columns of a file, drawn together.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairSpec {
    dist: PairName,
    file: String,
    input: String,
    output: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum PairName {
    Empirical2,
}

/// The keys of a class that say its lengths.
pub(super) struct LengthsSpec<'a> {
    pub(super) input: &'a Option<Distribution>,
    pub(super) output: &'a Option<Distribution>,
    pub(super) joint: &'a Option<Joint>,
    pub(super) pair: &'a Option<PairSpec>,
}

/// What the lengths of a class are drawn from.
#[derive(Clone, Debug)]
pub(super) enum Lengths {
    /// Each by itself: the input first, then the output, from one stream.
    Independent { input: Sampler, output: Sampler },
    /// Two normal numbers with correlation `rho`, each turned into a length by its distribution (Gaussian copula). `rho` is
    /// their correlation, and so close to the rank correlation of the lengths, not their Pearson correlation.
    Copula { input: Sampler, output: Sampler, rho: f64 },
    /// Rows of a file, each as likely as the others: whatever correlation they have is kept.
    Pair(Arc<[(Tokens, Tokens)]>),
}

impl LengthsSpec<'_> {
    /// `None` where the class says nothing of lengths.
    pub(super) fn lengths(&self, read: &mut ReadColumn<'_>) -> Result<Option<Lengths>, Problem> {
        match (self.input, self.output, self.pair) {
            (None, None, None) => match self.joint {
                None => Ok(None),
                Some(_) => {
                    Err(Problem::key("joint", "`joint` correlates `input` and `output`, which are not given")
                        .help("give both, or remove `joint`"))
                }
            },
            (None, None, Some(pair)) => {
                if self.joint.is_some() {
                    return Err(Problem::key("joint", "a `pair` keeps the correlation of its file")
                        .help("remove `joint`, or give `input` and `output` instead of `pair`"));
                }
                pair.rows(read).map(|rows| Some(Lengths::Pair(rows))).map_err(|problem| problem.under("pair"))
            }
            (Some(input), Some(output), None) => {
                let input = sampler("input", input, read)?;
                let output = sampler("output", output, read)?;
                match self.joint {
                    None => Ok(Some(Lengths::Independent { input, output })),
                    Some(Joint { rho }) if (-1.0..=1.0).contains(rho) => {
                        Ok(Some(Lengths::Copula { input, output, rho: *rho }))
                    }
                    Some(Joint { rho }) => Err(Problem::key("joint.rho", format!("`rho` is {rho}"))
                        .help("a correlation is from -1 to 1")),
                }
            }
            (_, _, Some(_)) => {
                Err(Problem::key("pair", "`pair` says both lengths, and `input` or `output` is given too")
                    .help("remove one or the other"))
            }
            (Some(_), None, None) => Err(Problem::key("input", "the class has an `input` but no `output`")
                .help("give `output = { dist = \"constant\", value = 128 }`, or another distribution")),
            (None, Some(_), None) => Err(Problem::key("output", "the class has an `output` but no `input`")
                .help("give `input = { dist = \"constant\", value = 1024 }`, or another distribution")),
        }
    }
}

impl Lengths {
    /// Prompt and answer of one request: each from 1 to 2^31 - 1.
    pub(super) fn draw(&self, stream: &mut Stream) -> (Tokens, Tokens) {
        match self {
            Lengths::Independent { input, output } => {
                (tokens(input.sample(stream)), tokens(output.sample(stream)))
            }
            Lengths::Copula { input, output, rho } => {
                let z = normal::quantile(stream.open_unit());
                let own = normal::quantile(stream.open_unit());
                let other = rho * z + libm::sqrt(1.0 - rho * rho) * own;
                let length = |sampler: &Sampler, z: f64| tokens(sampler.quantile(normal::cumulative(z)));
                (length(input, z), length(output, other))
            }
            Lengths::Pair(rows) => rows[stream.below(rows.len() as u64) as usize],
        }
    }
}

impl PairSpec {
    fn rows(&self, read: &mut ReadColumn<'_>) -> Result<Arc<[(Tokens, Tokens)]>, Problem> {
        let PairSpec { dist: PairName::Empirical2, file, input, output } = self;
        let mut column = |name: &str, key: &str| {
            read(file, name)?
                .into_iter()
                .map(|x| exact_tokens(x, key, file, name))
                .collect::<Result<Vec<_>, _>>()
        };
        let (inputs, outputs) = (column(input, "input")?, column(output, "output")?);
        if inputs.is_empty() {
            return Err(
                Problem::key("file", format!("{file} holds no rows")).help("a pair needs at least one row")
            );
        }
        Ok(inputs.into_iter().zip(outputs).collect())
    }
}

fn exact_tokens(x: f64, key: &str, file: &str, column: &str) -> Result<Tokens, Problem> {
    if x == libm::trunc(x) && (1.0..=f64::from(TOKENS_MAX)).contains(&x) {
        return Ok(Tokens(x as u32));
    }
    Err(Problem::key(key, format!("column `{column}` of {file} holds {x}, which is no number of tokens"))
        .help(format!("a length is a whole number from 1 to {TOKENS_MAX}")))
}

/// The sampler of one length. Half of its draws must be possible lengths: a distribution that is mostly out of range is a
/// mistake that rounding must not hide.
fn sampler(key: &str, distribution: &Distribution, read: &mut ReadColumn<'_>) -> Result<Sampler, Problem> {
    let sampler = distribution.sampler_from(read).map_err(|problem| problem.under(key))?;
    let median = sampler.quantile(0.5);
    if !(0.5..=f64::from(TOKENS_MAX)).contains(&median) {
        return Err(Problem::key(key, format!("half of the lengths would be {median} or beyond"))
            .help(format!("a length is from 1 to {TOKENS_MAX} tokens")));
    }
    Ok(sampler)
}

/// The nearest possible length.
pub(super) fn tokens(x: f64) -> Tokens {
    Tokens(libm::round(x).clamp(1.0, f64::from(TOKENS_MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn lengths(text: &str) -> Result<Option<Lengths>, Problem> {
        #[derive(serde::Deserialize)]
        struct Keys {
            input: Option<Distribution>,
            output: Option<Distribution>,
            joint: Option<Joint>,
            pair: Option<PairSpec>,
        }
        let keys: Keys = toml::from_str(text).expect(text);
        LengthsSpec { input: &keys.input, output: &keys.output, joint: &keys.joint, pair: &keys.pair }
            .lengths(&mut |_, column| {
                Ok(if column == "in" { vec![1.0, 2.0, 3.0] } else { vec![10.0, 20.0, 30.0] })
            })
    }

    fn draws(text: &str, n: u64) -> Vec<(f64, f64)> {
        let lengths = lengths(text).expect(text).expect("lengths are given");
        let stream = Streams::new(9).named("lengths");
        let draws = (0..n).map(|i| lengths.draw(&mut stream.at(i)));
        draws.map(|(input, output)| (f64::from(input.get()), f64::from(output.get()))).collect()
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let (mx, my) =
            (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
        let sum = |f: fn(f64, f64) -> f64| pairs.iter().map(|p| f(p.0 - mx, p.1 - my)).sum::<f64>();
        sum(|x, y| x * y) / (sum(|x, _| x * x) * sum(|_, y| y * y)).sqrt()
    }

    #[test]
    fn a_copula_correlates_the_logarithms_of_lognormals_by_rho_and_keeps_their_means() {
        let text = "input = { dist = 'lognormal', mean = 11550, cv = 0.96 }\n\
                    output = { dist = 'lognormal', mean = 2110, cv = 0.77 }\njoint = { rho = 0.4 }";
        let pairs = draws(text, 40_000);
        let mean = pairs.iter().map(|p| p.0).sum::<f64>() / 40_000.0;
        assert!((mean / 11550.0 - 1.0).abs() < 0.02, "{mean}");
        let logs: Vec<(f64, f64)> = pairs.iter().map(|p| (p.0.ln(), p.1.ln())).collect();
        assert!((correlation(&logs) - 0.4).abs() < 0.015, "{}", correlation(&logs));
    }

    #[test]
    fn a_perfect_copula_orders_both_lengths_alike_whatever_their_families() {
        let text = "input = { dist = 'gamma', mean = 1000, cv = 1.2 }\n\
                    output = { dist = 'uniform', min = 1, max = 100000 }\njoint = { rho = 1.0 }";
        let mut pairs = draws(text, 2_000);
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(pairs.windows(2).all(|w| w[0].0 == w[1].0 || w[0].1 <= w[1].1));
    }

    #[test]
    fn pairs_are_drawn_as_rows() {
        let pairs =
            draws("pair = { dist = 'empirical2', file = 'f.csv', input = 'in', output = 'out' }", 300);
        assert!(pairs.iter().all(|(input, output)| *output == 10.0 * input));
        assert!([1.0, 2.0, 3.0].iter().all(|x| pairs.iter().any(|(input, _)| input == x)));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_their_key() {
        let constant = "{ dist = 'constant', value = 5 }";
        let cases = [
            (format!("input = {constant}"), "input"),
            (format!("output = {constant}"), "output"),
            ("joint = { rho = 0.4 }".to_owned(), "joint"),
            (format!("input = {constant}\noutput = {constant}\njoint = {{ rho = 1.5 }}"), "joint.rho"),
            (format!("input = {constant}\noutput = {constant}\njoint = {{ rho = nan }}"), "joint.rho"),
            (format!("input = {constant}\noutput = {{ dist = 'constant', value = 0 }}"), "output"),
            (format!("input = {constant}\noutput = {{ dist = 'constant', value = -7 }}"), "output"),
            (format!("input = {{ dist = 'constant', value = 1000000000000 }}\noutput = {constant}"), "input"),
            (format!("input = {{ dist = 'exponential', mean = nan }}\noutput = {constant}"), "input.mean"),
            (
                format!(
                    "input = {constant}\npair = {{ dist = 'empirical2', file = 'f', input = 'in', output = 'out' }}"
                ),
                "pair",
            ),
        ];
        for (text, key) in cases {
            let problem = lengths(&text).expect_err(&text);
            assert_eq!(problem.place, crate::problem::Place::Key(key.to_owned()), "{text}");
            assert!(problem.help.is_some(), "{text}");
        }
    }
}
