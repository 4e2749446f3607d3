//! All sources of a workload, merged into one stream of requests.

use super::arrival::{ArrivalSpec, Arrivals};
use super::class::{Class, ClassSpec, Template};
use super::client::MaxInFlight;
use super::generated::Generated;
use super::replay::{Replay, Replayed};
use super::request::{Request, Segment};
use super::spec::{Kind, SourceSpec, WorkloadSpec};
use super::trace::column;
use crate::lines::Lines;
use crate::problem::{Place, Problem};
use crate::random::{NamedStream, Streams};
use crate::units::{SimDuration, SimTime, Tokens};
use std::io::BufRead;
use std::sync::Arc;

/// Opens a file that the workload names: a trace or a table. Paths are the caller's matter; gzip is recognised here.
pub type Open<'a> = dyn FnMut(&str) -> Result<Box<dyn BufRead + Send>, Problem> + 'a;

/// What the rest of the world needs to know of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Unique in the workload.
    pub name: String,
    /// Its client's cap on requests in flight.
    pub max_in_flight: Option<MaxInFlight>,
    /// The trace that it replays; `None` for an open source.
    pub trace: Option<String>,
}

/// The requests of a run, made one at a time.
///
/// Two workloads of one spec and one seed give the same requests. What a request draws is keyed by its source's name and its
/// ordinal within that source, so neither another source nor a policy shifts it.
#[derive(Debug)]
pub struct Workload {
    classes: Vec<Class>,
    infos: Vec<SourceInfo>,
    sources: Vec<Source>,
    /// In place of the sources: what they would make.
    generated: Option<Arc<Generated>>,
    nothing_shared: Arc<[Segment]>,
    next_ordinal: u64,
    end: SimTime,
    trace_end: SimTime,
}

/// A source with the request that it sends next.
#[derive(Debug)]
struct Source {
    requests: Requests,
    /// `None` at the end.
    next: Option<Request>,
    /// Whether it ended because its trace did, not because the run does.
    trace_ended: bool,
}

#[derive(Debug)]
enum Requests {
    Open(Box<OpenSource>),
    Replay { replay: Box<Replay>, file: String, class: u16, template: Class },
}

/// A source that sends at random.
#[derive(Debug)]
struct OpenSource {
    arrivals: Arrivals,
    /// Class index, its share of the requests, summed up to and with it.
    mix: Vec<(u16, f64)>,
    templates: Arc<[Template]>,
    ordinal: u64,
    class_stream: NamedStream,
    length_stream: NamedStream,
    prefix_stream: NamedStream,
    nothing_shared: Arc<[Segment]>,
}

impl Workload {
    /// The requests that `spec` sends from the start of a run until `duration`, its end included. Files are opened by
    /// `open`; of a trace only the beginning is read here.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to the `[workload]` table (`class.0.input.cv`), or with a line of a
    /// file, whose name is in the message.
    pub fn new(
        spec: &WorkloadSpec,
        streams: &Streams,
        duration: SimDuration,
        open: &mut Open<'_>,
    ) -> Result<Workload, Problem> {
        let end = SimTime::ZERO.checked_add(duration).filter(|end| *end <= SimTime::HORIZON);
        let end = end
            .ok_or_else(|| Problem::whole("the run is longer than 106 days").help("shorten its duration"))?;
        let templates = templates(spec, streams, open)?;
        let names = names("source", spec.source.iter().map(|source| source.name.as_deref()))?;
        if names.is_empty() {
            return Err(Problem::key("source", "the workload has no source")
                .help("add `[[workload.source]]` with a `rate`, or with `kind = \"replay\"` and a `file`"));
        }
        if spec.class.is_empty() && spec.source.iter().any(|source| source.kind == Kind::Open) {
            return Err(Problem::key("class", "the workload has an open source and no class")
                .help("add `[[workload.class]]` with an `input` and an `output`"));
        }
        let mut workload = Workload {
            classes: templates.iter().map(|template| template.class.clone()).collect(),
            infos: Vec::with_capacity(names.len()),
            sources: Vec::with_capacity(names.len()),
            generated: None,
            nothing_shared: Arc::from([]),
            next_ordinal: 0,
            end,
            trace_end: SimTime::ZERO,
        };
        for (i, (source, name)) in spec.source.iter().zip(names).enumerate() {
            let under = |problem: Problem| problem.under(&format!("source.{i}"));
            source.check_keys().map_err(under)?;
            let requests = match source.kind {
                Kind::Open => Requests::Open(Box::new(
                    open_source(source, &name, &templates, streams, duration).map_err(under)?,
                )),
                Kind::Replay | Kind::Closed => {
                    replay_source(source, &name, &templates, streams, open).map_err(under)?
                }
            };
            workload.infos.push(SourceInfo {
                name,
                max_in_flight: source.max_in_flight,
                trace: source.file.clone(),
            });
            workload.sources.push(Source { requests, next: None, trace_ended: false });
            workload.advance(i)?;
        }
        Ok(workload)
    }

    /// The next request, in order of `sent`, those of equal time in the order of their sources; `None` when no more is sent
    /// before the end of the run.
    ///
    /// # Errors
    /// A line of a trace that cannot be read or understood. The workload must not be used any further.
    pub fn next_request(&mut self) -> Result<Option<Request>, Problem> {
        if let Some(generated) = &self.generated {
            let request = generated.get(self.next_ordinal, &self.classes, &self.nothing_shared);
            self.next_ordinal += 1;
            return Ok(request);
        }
        let sources = self.sources.iter().enumerate();
        let first = sources.filter_map(|(i, source)| source.next.as_ref().map(|next| (next.sent, i))).min();
        let Some((_, i)) = first else { return Ok(None) };
        let Some(mut request) = self.sources[i].next.take() else { return Ok(None) };
        self.advance(i)?;
        request.ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        Ok(Some(request))
    }

    /// The classes, in the order of the file.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The sources, in the order of the file.
    pub fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    /// Once [`Workload::next_request`] has given `None`: when the last request was sent, if all sources are traces that ended before
    /// the run would have; else `None`.
    pub fn trace_end(&self) -> Option<SimTime> {
        if let Some(generated) = &self.generated {
            return generated.trace_end();
        }
        self.sources.iter().all(|source| source.trace_ended).then_some(self.trace_end)
    }

    /// The same workload, whose requests were all made before.
    pub(super) fn with(self, generated: Arc<Generated>) -> Workload {
        Workload { sources: Vec::new(), generated: Some(generated), next_ordinal: 0, ..self }
    }

    /// Makes source `i`'s next request.
    fn advance(&mut self, i: usize) -> Result<(), Problem> {
        let source = &mut self.sources[i];
        let next = source.requests.next(i as u16)?;
        source.trace_ended = next.is_none() && matches!(source.requests, Requests::Replay { .. });
        source.next = next.filter(|request| request.sent <= self.end);
        if let Some(next) = &source.next {
            self.trace_end = self.trace_end.max(next.sent);
        }
        Ok(())
    }
}

impl Requests {
    fn next(&mut self, source: u16) -> Result<Option<Request>, Problem> {
        match self {
            Requests::Open(open) => Ok(open.next(source)),
            Requests::Replay { replay, file, class, template } => {
                let replayed =
                    replay.next().map_err(|problem| in_file(problem, file, usize::from(source)))?;
                Ok(replayed.map(|Replayed { at, prompt_tokens, output_tokens, shared, .. }| Request {
                    ordinal: 0,
                    source,
                    class: *class,
                    sent: at,
                    prompt_tokens,
                    output_tokens,
                    finish: template.finish,
                    priority: template.priority,
                    shared,
                    timeout: template.timeout,
                }))
            }
        }
    }
}

impl OpenSource {
    fn next(&mut self, source: u16) -> Option<Request> {
        let sent = self.arrivals.next()?;
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let (class, _) = match &self.mix[..] {
            // No draw could choose another.
            [only] => only,
            mix => {
                let draw = self.class_stream.at(ordinal).unit();
                mix.iter().find(|(_, up_to)| draw < *up_to).or(mix.last())?
            }
        };
        let template = &self.templates[usize::from(*class)];
        let (own, output_tokens) = template.lengths.as_ref()?.draw(&mut self.length_stream.at(ordinal));
        let prefix = template.prefix.as_ref().map(|prefix| prefix.draw(&mut self.prefix_stream.at(ordinal)));
        let (shared, prefix_tokens) = match prefix {
            Some(segment) => (Arc::from([segment]), segment.tokens),
            None => (self.nothing_shared.clone(), Tokens::ZERO),
        };
        Some(Request {
            ordinal: 0,
            source,
            class: *class,
            sent,
            // Both are at most 2^31 - 1, so the sum fits; no model takes a prompt that long.
            prompt_tokens: prefix_tokens + own,
            output_tokens,
            finish: template.class.finish,
            priority: template.class.priority,
            shared,
            timeout: template.class.timeout,
        })
    }
}

fn templates(
    spec: &WorkloadSpec,
    streams: &Streams,
    open: &mut Open<'_>,
) -> Result<Arc<[Template]>, Problem> {
    let names = names("class", spec.class.iter().map(|class| class.name.as_deref()))?;
    let mut read = |file: &str, name: &str| {
        let lines = open(file).and_then(Lines::new).map_err(|problem| at_key(problem, "file"));
        column(lines?, name).map_err(|problem| named(problem, file))
    };
    if names.is_empty() {
        // A trace needs no class; an open source without one is refused later, where its mix is read.
        let template = ClassSpec::default().template("default", streams, &mut read)?;
        return Ok(Arc::from([template]));
    }
    let templates = spec.class.iter().zip(names).enumerate().map(|(i, (class, name))| {
        class.template(&name, streams, &mut read).map_err(|problem| problem.under(&format!("class.{i}")))
    });
    templates.collect()
}

/// Their names, which must differ. One that is alone may go without.
fn names<'a>(
    what: &str,
    given: impl ExactSizeIterator<Item = Option<&'a str>>,
) -> Result<Vec<String>, Problem> {
    let alone = given.len() == 1;
    if given.len() > 1000 {
        return Err(Problem::key(what, format!("the workload has more than 1000 {what} tables")));
    }
    let mut names: Vec<String> = Vec::with_capacity(given.len());
    for (i, name) in given.enumerate() {
        let key = format!("{what}.{i}.name");
        let name = match name {
            Some("") => return Err(Problem::key(key, "the name is empty").help("remove it, or give one")),
            Some(name) => name,
            None if alone => "default",
            None => {
                return Err(Problem::key(format!("{what}.{i}"), format!("the {what} has no `name`"))
                    .help("where there are several, each needs one: random streams are called by it"));
            }
        };
        if names.iter().any(|other| other == name) {
            return Err(Problem::key(key, format!("`{name}` is there twice")).help("give each its own name"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn open_source(
    source: &SourceSpec,
    name: &str,
    templates: &Arc<[Template]>,
    streams: &Streams,
    duration: SimDuration,
) -> Result<OpenSource, Problem> {
    let mix = mix(source, templates)?;
    let Some(rate) = &source.rate else {
        return Err(Problem::key("", "the source has no `rate`")
            .help("write `rate = 5.0` for 5 requests a second, or `kind = \"replay\"` with a `file`"));
    };
    let rate = rate.rate(duration).map_err(|problem| problem.under("rate"))?;
    let even = ArrivalSpec::default();
    let arrival = source.arrival.as_ref().unwrap_or(&even);
    let arrivals =
        arrival.arrivals(name, streams, rate, duration).map_err(|problem| problem.under("arrival"))?;
    Ok(OpenSource {
        arrivals,
        mix,
        templates: templates.clone(),
        ordinal: 0,
        class_stream: streams.named(&format!("class/{name}")),
        length_stream: streams.named(&format!("lengths/{name}")),
        prefix_stream: streams.named(&format!("prefix/{name}")),
        nothing_shared: Arc::from([]),
    })
}

/// The classes of an open source with their summed shares, in the order of the classes.
fn mix(source: &SourceSpec, templates: &[Template]) -> Result<Vec<(u16, f64)>, Problem> {
    let mut shares = vec![0.0; templates.len()];
    match &source.mix {
        None if templates.len() == 1 => shares[0] = 1.0,
        None => {
            return Err(Problem::key("", "the source has no `mix`, and there are several classes")
                .help(format!("write `mix = {{ {} = 1.0 }}`", templates[0].class.name)));
        }
        Some(mix) => {
            for (class, share) in mix {
                let key = format!("mix.{class}");
                shares[index(class, templates).map_err(|problem| problem.under(&key))?] = *share;
                if !(*share >= 0.0 && share.is_finite()) {
                    return Err(
                        Problem::key(key, format!("the share is {share}")).help("a share is 0 or more")
                    );
                }
            }
        }
    }
    let total: f64 = shares.iter().sum();
    // Written so that a total that is no number is refused too.
    if !(total > 0.0 && total.is_finite()) {
        return Err(Problem::key("mix", "no class has a share").help("give one of them a share above 0"));
    }
    let mut up_to = 0.0;
    let mut mix = Vec::new();
    for (i, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
        if templates[i].lengths.is_none() {
            let name = &templates[i].class.name;
            return Err(Problem::key(
                "mix",
                format!("class `{name}` does not say how long its requests are"),
            )
            .help("give it `input` and `output`, or `pair`; only a trace brings its own lengths"));
        }
        up_to += share / total;
        mix.push((i as u16, up_to));
    }
    Ok(mix)
}

fn replay_source(
    source: &SourceSpec,
    name: &str,
    templates: &[Template],
    streams: &Streams,
    open: &mut Open<'_>,
) -> Result<Requests, Problem> {
    let Some(file) = &source.file else {
        return Err(Problem::key("", "the replay has no `file`").help("write `file = \"trace.csv\"`"));
    };
    let class = match &source.class {
        Some(class) => index(class, templates).map_err(|problem| problem.under("class"))?,
        None if templates.len() == 1 => 0,
        None => {
            return Err(Problem::key("", "the replay has no `class`, and there are several")
                .help(format!("write `class = \"{}\"`", templates[0].class.name)));
        }
    };
    let template = &templates[class];
    if template.prefix.is_some() {
        return Err(Problem::key(
            "class",
            format!(
                "class `{}` has prefix groups, but a trace says itself what it shares",
                template.class.name
            ),
        )
        .help("use a class without `prefix` for the trace"));
    }
    let lines = open(file).map_err(|problem| at_key(problem, "file"))?;
    let lines = Lines::new(lines).map_err(|problem| named(problem, file))?;
    let replay = source.replay().replay(name, lines, streams).map_err(|problem| named(problem, file))?;
    let template = template.class.clone();
    Ok(Requests::Replay { replay: Box::new(replay), file: file.clone(), class: class as u16, template })
}

fn index(class: &str, templates: &[Template]) -> Result<usize, Problem> {
    templates.iter().position(|template| template.class.name == class).ok_or_else(|| {
        let known: Vec<String> =
            templates.iter().map(|template| format!("`{}`", template.class.name)).collect();
        Problem::key("", format!("there is no class `{class}`"))
            .help(format!("the classes are {}", known.join(", ")))
    })
}

/// A problem within a file, met while it is replayed.
fn in_file(problem: Problem, file: &str, source: usize) -> Problem {
    named(problem, file).under(&format!("source.{source}"))
}

/// Says which file a line belongs to; a key needs no file.
fn named(mut problem: Problem, file: &str) -> Problem {
    if !matches!(problem.place, Place::Key(_)) {
        problem.message = format!("{file}: {}", problem.message);
    }
    problem
}

/// A file that cannot be opened is a problem of the key that names it.
fn at_key(mut problem: Problem, key: &str) -> Problem {
    if problem.place == Place::Whole {
        problem.place = Place::Key(key.to_owned());
    }
    problem
}
