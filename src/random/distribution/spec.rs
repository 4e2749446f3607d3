//! A distribution as a user writes it.

use super::family::Family;
use super::sampler::{Bound, Sampler};
use super::table::{Pick, Table};
use super::weibull;
use crate::problem::Problem;
use std::sync::Arc;

/// Reads the column of a data file for an `empirical` distribution: file name, column name.
pub type ReadColumn<'a> = dyn FnMut(&str, &str) -> Result<Vec<f64>, Problem> + 'a;

/// More entries than this in a table are a mistake, and would take the machine's memory before the run began.
const ENTRIES_MAX: usize = 1_000_000;

/// A distribution as a user writes it; the [module](super) lists the families and their parameters.
///
/// `V` is the type of its values: `f64`, or [`Seconds`](super::Seconds) where they are lengths of time, which may then be
/// written `"131s"`. Keys are taken as they are; [`Distribution::check`] and [`Distribution::sampler`] say what is wrong
/// with them.
///
/// ```
/// use dryscale::random::{Streams, distribution::Distribution};
/// let lengths: Distribution = toml::from_str("dist = 'lognormal'\nmean = 211\ncv = 0.77\nmin = 1\nmax = 2048").unwrap();
/// let sampler = lengths.sampler().unwrap();
/// let tokens = sampler.sample(&mut Streams::new(1).stream("lengths"));
/// assert!((1.0..=2048.0).contains(&tokens));
/// ```
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution<V = f64> {
    dist: Name,
    value: Option<V>,
    min: Option<V>,
    max: Option<V>,
    mean: Option<V>,
    median: Option<V>,
    sd: Option<V>,
    scale: Option<V>,
    xm: Option<V>,
    values: Option<Vec<V>>,
    cv: Option<f64>,
    mu: Option<f64>,
    sigma: Option<f64>,
    shape: Option<f64>,
    alpha: Option<f64>,
    s: Option<f64>,
    n: Option<u64>,
    pmf: Option<Vec<f64>>,
    parts: Option<Vec<Distribution<V>>>,
    file: Option<String>,
    column: Option<String>,
    bound: Option<Bound>,
    /// Weight of this part of a mixture.
    w: Option<f64>,
}

/// The families by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Constant,
    Uniform,
    Normal,
    Lognormal,
    Exponential,
    Gamma,
    Weibull,
    Pareto,
    Zipf,
    Histogram,
    Mixture,
    Empirical,
}

impl Name {
    /// The sets of parameters that define the family, besides `min`, `max` and `bound`.
    fn forms(self) -> &'static [&'static [&'static str]] {
        match self {
            Name::Constant => &[&["value"]],
            Name::Uniform => &[&["min", "max"]],
            Name::Normal => &[&["mean", "sd"], &["mean", "cv"]],
            Name::Lognormal => {
                &[&["mean", "cv"], &["median", "sigma"], &["mu", "sigma"], &["mean", "median"]]
            }
            Name::Exponential => &[&["mean"]],
            Name::Gamma | Name::Weibull => &[&["mean", "cv"], &["mean", "shape"], &["shape", "scale"]],
            Name::Pareto => &[&["alpha", "xm"]],
            Name::Zipf => &[&["s", "n"]],
            Name::Histogram => &[&["pmf"], &["values", "pmf"]],
            Name::Mixture => &[&["parts"]],
            Name::Empirical => &[&["file", "column"]],
        }
    }

    fn text(self) -> &'static str {
        match self {
            Name::Constant => "constant",
            Name::Uniform => "uniform",
            Name::Normal => "normal",
            Name::Lognormal => "lognormal",
            Name::Exponential => "exponential",
            Name::Gamma => "gamma",
            Name::Weibull => "weibull",
            Name::Pareto => "pareto",
            Name::Zipf => "zipf",
            Name::Histogram => "histogram",
            Name::Mixture => "mixture",
            Name::Empirical => "empirical",
        }
    }

    /// "`mean` and `cv`, or `median` and `sigma`".
    fn forms_text(self) -> String {
        let form =
            |keys: &&[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
        self.forms().iter().map(form).collect::<Vec<_>>().join(", or ")
    }
}

/// How a gamma or Weibull distribution spreads around its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Standard deviation divided by mean.
    Cv(f64),
    /// The shape parameter: 1 is the exponential, below 1 is burstier.
    Shape(f64),
}

impl Distribution<f64> {
    /// A gamma distribution by its mean.
    pub fn gamma(mean: f64, spread: Spread) -> Distribution<f64> {
        Distribution::empty(Name::Gamma).with_mean(mean, spread)
    }

    /// A Weibull distribution by its mean.
    pub fn weibull(mean: f64, spread: Spread) -> Distribution<f64> {
        Distribution::empty(Name::Weibull).with_mean(mean, spread)
    }

    /// Zipf's law over the ranks 1 to `n`.
    pub fn zipf(s: f64, n: u64) -> Distribution<f64> {
        Distribution { s: Some(s), n: Some(n), ..Distribution::empty(Name::Zipf) }
    }

    fn with_mean(mut self, mean: f64, spread: Spread) -> Distribution<f64> {
        self.mean = Some(mean);
        match spread {
            Spread::Cv(cv) => self.cv = Some(cv),
            Spread::Shape(shape) => self.shape = Some(shape),
        }
        self
    }
}

impl<V: Copy + Into<f64>> Distribution<V> {
    /// Always `value`.
    pub fn constant(value: V) -> Distribution<V> {
        let none = Distribution::empty(Name::Constant);
        Distribution { value: Some(value), ..none }
    }

    /// Lognormal with this median; `sigma` is the standard deviation of the logarithm.
    pub fn lognormal(median: V, sigma: f64) -> Distribution<V> {
        let none = Distribution::empty(Name::Lognormal);
        Distribution { median: Some(median), sigma: Some(sigma), ..none }
    }

    fn empty(dist: Name) -> Distribution<V> {
        Distribution {
            dist,
            value: None,
            min: None,
            max: None,
            mean: None,
            median: None,
            sd: None,
            scale: None,
            xm: None,
            values: None,
            cv: None,
            mu: None,
            sigma: None,
            shape: None,
            alpha: None,
            s: None,
            n: None,
            pmf: None,
            parts: None,
            file: None,
            column: None,
            bound: None,
            w: None,
        }
    }

    /// Refuses what [`Distribution::sampler`] would refuse.
    pub fn check(&self) -> Result<(), Problem> {
        self.sampler().map(drop)
    }

    /// The distribution ready to be drawn from.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to this distribution (`cv`, `parts.0.mean`): a parameter that is
    /// missing, of another family, NaN, infinite or out of its range; `min` above `max`; a `resample` bound that almost no
    /// draw would pass. `empirical` is refused, because no file is at hand: see [`Distribution::sampler_from`].
    pub fn sampler(&self) -> Result<Sampler, Problem> {
        self.sampler_from(&mut |_, _| {
            Err(Problem::key("dist", "`empirical` reads a file, which is not possible for this setting")
                .help("write the values as a `histogram`"))
        })
    }

    /// As [`Distribution::sampler`], with `read` to get the values of a column of a file for `empirical`.
    pub fn sampler_from(&self, read: &mut ReadColumn<'_>) -> Result<Sampler, Problem> {
        if self.w.is_some() {
            return Err(Problem::key("w", "`w` is the weight of a part of a mixture, and this is not one")
                .help("remove it, or put the distribution into `parts` of `dist = \"mixture\"`"));
        }
        self.unweighted(read)
    }

    fn unweighted(&self, read: &mut ReadColumn<'_>) -> Result<Sampler, Problem> {
        self.check_keys()?;
        let min = self.min.map_or(Ok(f64::MIN), |min| finite("min", min.into()))?;
        let max = self.max.map_or(Ok(f64::MAX), |max| finite("max", max.into()))?;
        if min > max {
            return Err(
                Problem::key("min", format!("`min` {min} is above `max` {max}")).help("exchange them")
            );
        }
        if self.bound.is_some() && self.min.is_none() && self.max.is_none() {
            return Err(Problem::key(
                "bound",
                "`bound` says what happens at `min` and `max`, and neither is given",
            )
            .help("give `min` or `max`, or remove `bound`"));
        }
        let family = self.family(read)?;
        Sampler::new(family, min, max, self.bound.unwrap_or_default()).map_err(|share| {
            Problem::key(
                "bound",
                format!("only {} % of the draws lie between `min` and `max`", share * 100.0),
            )
            .help("`resample` needs at least 1 %; move the bounds, or use `bound = \"clamp\"`")
        })
    }

    /// The parameters that are given, without the common ones.
    fn given(&self) -> Vec<&'static str> {
        let bounds = self.dist == Name::Uniform;
        [
            ("value", self.value.is_some()),
            ("min", bounds && self.min.is_some()),
            ("max", bounds && self.max.is_some()),
            ("mean", self.mean.is_some()),
            ("median", self.median.is_some()),
            ("sd", self.sd.is_some()),
            ("scale", self.scale.is_some()),
            ("xm", self.xm.is_some()),
            ("values", self.values.is_some()),
            ("cv", self.cv.is_some()),
            ("mu", self.mu.is_some()),
            ("sigma", self.sigma.is_some()),
            ("shape", self.shape.is_some()),
            ("alpha", self.alpha.is_some()),
            ("s", self.s.is_some()),
            ("n", self.n.is_some()),
            ("pmf", self.pmf.is_some()),
            ("parts", self.parts.is_some()),
            ("file", self.file.is_some()),
            ("column", self.column.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect()
    }

    /// The parameters must be exactly one of the family's forms.
    fn check_keys(&self) -> Result<(), Problem> {
        let (name, given, forms) = (self.dist.text(), self.given(), self.dist.forms());
        let help = format!("`{name}` takes {}, and `min`, `max`, `bound`", self.dist.forms_text());
        if let Some(foreign) = given.iter().find(|key| !forms.iter().any(|form| form.contains(key))) {
            return Err(Problem::key(*foreign, format!("`{name}` has no parameter `{foreign}`")).help(help));
        }
        if forms.iter().any(|form| form.len() == given.len() && form.iter().all(|key| given.contains(key))) {
            return Ok(());
        }
        let message = match given.as_slice() {
            [] => format!("`{name}` lacks its parameters"),
            keys => format!("`{}` alone do not define `{name}`, or contradict each other", keys.join("`, `")),
        };
        Err(Problem::key("dist", message).help(help))
    }

    fn family(&self, read: &mut ReadColumn<'_>) -> Result<Family, Problem> {
        Ok(match self.dist {
            Name::Constant => Family::Constant(self.number("value", self.value)?),
            Name::Uniform => {
                let (low, high) = (self.number("min", self.min)?, self.number("max", self.max)?);
                Family::Uniform { low, width: finite("max", high - low)? }
            }
            Name::Normal => self.normal_family()?,
            Name::Lognormal => self.lognormal_family()?,
            Name::Exponential => Family::Exponential { mean: self.positive("mean", self.mean)? },
            Name::Gamma => self.gamma_family()?,
            Name::Weibull => self.weibull_family()?,
            Name::Pareto => Family::Pareto {
                alpha: self.within("alpha", self.alpha, 0.01, 1e6)?,
                xm: self.positive("xm", self.xm)?,
            },
            Name::Zipf => self.zipf_family()?,
            Name::Histogram => self.histogram_family()?,
            Name::Mixture => self.mixture_family(read)?,
            Name::Empirical => self.empirical_family(read)?,
        })
    }

    fn normal_family(&self) -> Result<Family, Problem> {
        let mean = self.number("mean", self.mean)?;
        let sd = match self.cv {
            // A negative mean would make a negative standard deviation.
            Some(_) => self.positive("mean", self.mean)? * self.within("cv", self.cv, 0.0, 1e6)?,
            None => self.not_negative("sd", self.sd)?,
        };
        Ok(Family::Normal { mean, sd: finite("mean", sd)? })
    }

    fn lognormal_family(&self) -> Result<Family, Problem> {
        let (mu, sigma) = match (self.mean, self.median, self.cv, self.mu) {
            (Some(_), None, Some(_), None) => {
                let variance = libm::log1p(square(self.within("cv", self.cv, 0.0, 1e6)?));
                (libm::log(self.positive("mean", self.mean)?) - 0.5 * variance, libm::sqrt(variance))
            }
            (Some(_), Some(_), ..) => {
                let (mean, median) =
                    (self.positive("mean", self.mean)?, self.positive("median", self.median)?);
                if mean < median {
                    return Err(Problem::key("mean", format!("`mean` {mean} is below `median` {median}"))
                        .help("a lognormal leans to the right: its mean is at least its median"));
                }
                (libm::log(median), libm::sqrt(2.0 * (libm::log(mean) - libm::log(median)).max(0.0)))
            }
            (_, Some(_), ..) => (
                libm::log(self.positive("median", self.median)?),
                self.within("sigma", self.sigma, 0.0, 100.0)?,
            ),
            _ => (self.within("mu", self.mu, -700.0, 700.0)?, self.within("sigma", self.sigma, 0.0, 100.0)?),
        };
        Ok(Family::Lognormal { mu, sigma })
    }

    fn gamma_family(&self) -> Result<Family, Problem> {
        let shape = match self.cv {
            Some(_) => 1.0 / square(self.within("cv", self.cv, 1e-3, 100.0)?),
            None => self.within("shape", self.shape, 1e-4, 1e6)?,
        };
        let scale = match self.mean {
            Some(_) => self.positive("mean", self.mean)? / shape,
            None => self.positive("scale", self.scale)?,
        };
        Ok(Family::Gamma { shape, scale: finite("mean", scale)? })
    }

    fn weibull_family(&self) -> Result<Family, Problem> {
        let shape = match self.cv {
            Some(_) => {
                let cv = self.within("cv", self.cv, 0.002, 400.0)?;
                let shape = weibull::shape_of_cv(cv);
                shape.ok_or_else(|| {
                    Problem::key("cv", format!("no Weibull distribution has a `cv` of {cv}"))
                })?
            }
            None => self.within("shape", self.shape, 0.1, 1000.0)?,
        };
        let scale = match self.mean {
            Some(_) => self.positive("mean", self.mean)? / weibull::unit_mean(shape),
            None => self.positive("scale", self.scale)?,
        };
        Ok(Family::Weibull { shape, scale: finite("mean", scale)? })
    }

    fn zipf_family(&self) -> Result<Family, Problem> {
        let s = self.within("s", self.s, 0.0, 100.0)?;
        let n = self.n.unwrap_or_default();
        if n == 0 || n > ENTRIES_MAX as u64 {
            return Err(
                Problem::key("n", format!("`n` is {n}")).help(format!("it counts ranks: 1 to {ENTRIES_MAX}"))
            );
        }
        let weights: Vec<f64> = (1..=n).map(|rank| libm::pow(rank as f64, -s)).collect();
        Table::new((1..=n).map(|rank| rank as f64), &weights)
            .map(Family::Table)
            .ok_or_else(|| Problem::key("s", "no rank has a positive weight"))
    }

    fn histogram_family(&self) -> Result<Family, Problem> {
        let pmf = self.pmf.as_deref().unwrap_or_default();
        for (i, p) in pmf.iter().enumerate() {
            // Written so that NaN is refused too.
            if !(*p >= 0.0 && *p <= 1.0) {
                return Err(Problem::key(format!("pmf.{i}"), format!("{p} is not a probability"))
                    .help("probabilities are from 0 to 1"));
            }
        }
        let total: f64 = pmf.iter().sum();
        // Published tables are rounded to two or three digits.
        if (total - 1.0).abs() > 0.01 {
            return Err(Problem::key("pmf", format!("the probabilities add up to {total}, not to 1"))
                .help("divide each by their sum"));
        }
        let values: Vec<f64> = match &self.values {
            None => (1..=pmf.len()).map(|i| i as f64).collect(),
            Some(values) if values.len() != pmf.len() => {
                let (values, pmf) = (values.len(), pmf.len());
                return Err(Problem::key(
                    "values",
                    format!("{values} `values` but {pmf} probabilities in `pmf`"),
                )
                .help("give each value its probability"));
            }
            Some(values) => {
                let values = values.iter().enumerate();
                values.map(|(i, v)| finite(&format!("values.{i}"), (*v).into())).collect::<Result<_, _>>()?
            }
        };
        Table::new(values, pmf)
            .map(Family::Table)
            .ok_or_else(|| Problem::key("pmf", "no value has a positive probability"))
    }

    fn mixture_family(&self, read: &mut ReadColumn<'_>) -> Result<Family, Problem> {
        let parts = self.parts.as_deref().unwrap_or_default();
        let mut samplers = Vec::with_capacity(parts.len());
        let mut weights = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let under = |problem: Problem| problem.under(&format!("parts.{i}"));
            weights.push(part.within("w", part.w, 0.0, 1e9).map_err(under)?);
            samplers.push(part.unweighted(read).map_err(under)?);
        }
        let pick = Pick::new(&weights).ok_or_else(|| {
            Problem::key("parts", "no part has a positive weight").help("give each part a weight `w` above 0")
        })?;
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Ok(Family::Mixture { pick, weights, parts: samplers })
    }

    fn empirical_family(&self, read: &mut ReadColumn<'_>) -> Result<Family, Problem> {
        let (file, column) =
            (self.file.as_deref().unwrap_or_default(), self.column.as_deref().unwrap_or_default());
        let mut values = read(file, column)?;
        if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
            return Err(Problem::key("column", format!("column `{column}` of {file} holds {bad}")));
        }
        if values.is_empty() {
            return Err(Problem::key("file", format!("{file} holds no values"))
                .help("an empirical distribution needs at least one row"));
        }
        values.sort_by(f64::total_cmp);
        Ok(Family::Empirical(Arc::from(values)))
    }

    fn number<T: Into<f64>>(&self, key: &str, value: Option<T>) -> Result<f64, Problem> {
        let value = value.ok_or_else(|| {
            Problem::key(key, format!("`{key}` is missing")).help(format!("`{}` needs it", self.dist.text()))
        })?;
        finite(key, value.into())
    }

    fn positive<T: Into<f64>>(&self, key: &str, value: Option<T>) -> Result<f64, Problem> {
        match self.number(key, value)? {
            x if x > 0.0 => Ok(x),
            x => Err(Problem::key(key, format!("`{key}` is {x}")).help("it must be above 0")),
        }
    }

    fn not_negative<T: Into<f64>>(&self, key: &str, value: Option<T>) -> Result<f64, Problem> {
        match self.number(key, value)? {
            x if x >= 0.0 => Ok(x),
            x => Err(Problem::key(key, format!("`{key}` is {x}")).help("it must not be negative")),
        }
    }

    fn within(&self, key: &str, value: Option<f64>, low: f64, high: f64) -> Result<f64, Problem> {
        match self.number(key, value)? {
            x if (low..=high).contains(&x) => Ok(x),
            x => {
                let constant = if x <= low { "; for no spread use `dist = \"constant\"`" } else { "" };
                let constant = if key == "cv" { constant } else { "" };
                Err(Problem::key(key, format!("`{key}` is {x}"))
                    .help(format!("`{}` takes {low} to {high}{constant}", self.dist.text())))
            }
        }
    }
}

fn finite(key: &str, x: f64) -> Result<f64, Problem> {
    if x.is_finite() {
        return Ok(x);
    }
    Err(Problem::key(key, format!("`{key}` is {x}")).help("it must be a finite number"))
}

fn square(x: f64) -> f64 {
    x * x
}
