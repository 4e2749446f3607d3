//! Replaying a trace: which of its requests are sent, when, and how long they are.
//!
//! The first request of the trace is sent at 0, unless a `window` says otherwise. Reading is bounded: a request that was
//! shifted (`dejitter`, copies of `rate_scale`) is held only until no request that is still unread can come before it, so
//! memory grows with the requests in one shift, not with the trace.

use super::lengths::TOKENS_MAX;
use super::or_none::OrNone;
use super::prefix::contents_key;
use super::request::{ContentId, Segment};
use super::trace::{Columns, Format, Record, TimeUnit, Trace};
use crate::lines::Lines;
use crate::problem::Problem;
use crate::random::distribution::Seconds;
use crate::random::{NamedStream, Stream, Streams};
use crate::units::{SimDuration, SimTime, Tokens};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// At most this many requests are held back at a time.
const HELD_MAX: usize = 1_000_000;

/// The keys of a `replay` source as a user writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReplaySpec {
    pub(super) format: Format,
    pub(super) columns: Option<Columns>,
    pub(super) time_unit: Option<TimeUnit>,
    pub(super) window: Window,
    pub(super) time_scale: f64,
    pub(super) rate_scale: Option<RateScale>,
    pub(super) dejitter: OrNone,
    pub(super) lengths: TraceLengths,
    pub(super) prefix: TracePrefix,
}

/// The part of the trace that is replayed, in its own time from its first request. `from` becomes the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    #[serde(default)]
    from: Seconds,
    /// Excluded.
    to: Option<Seconds>,
}

/// More or fewer requests than the trace has.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateScale {
    factor: f64,
    mode: ScaleMode,
    /// Copies are shifted by a uniform draw from 0 to this, in the trace's own time; a second without it.
    jitter: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScaleMode {
    /// Each request is kept with the probability `factor`.
    Thin,
    /// Copies of other users are laid over the trace: `factor` in all, a fraction by chance. They are shifted, and they share
    /// prefixes among themselves, not with the original.
    Superpose,
    /// The trace runs faster: `time_scale` does that.
    Compress,
}

/// Changes of lengths.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceLengths {
    input_scale: Option<f64>,
    output_scale: Option<f64>,
    /// In tokens, after scaling.
    max_input: Option<Tokens>,
    on_over: Option<OnOver>,
}

/// What happens to a prompt of more than `max_input` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnOver {
    /// It is cut.
    Clamp,
    /// The request is left out.
    Drop,
}

/// What the trace's `hash_ids` mean.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracePrefix {
    #[serde(default)]
    hash_ids: HashIds,
    block_tokens: Option<Tokens>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum HashIds {
    /// Prompts share what their ids share.
    #[default]
    Auto,
    /// No prompt shares anything.
    Ignore,
}

/// A request of a trace, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Replayed {
    pub(super) at: SimTime,
    /// In the order of the file, copies after their original.
    sequence: u64,
    pub(super) prompt_tokens: Tokens,
    pub(super) output_tokens: Tokens,
    pub(super) shared: Arc<[Segment]>,
}

impl PartialEq for Replayed {
    fn eq(&self, other: &Replayed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Replayed {}
impl PartialOrd for Replayed {
    fn partial_cmp(&self, other: &Replayed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Replayed {
    fn cmp(&self, other: &Replayed) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A trace that is being replayed.
#[derive(Debug)]
pub(super) struct Replay {
    trace: Trace,
    plan: Plan,
    /// Timestamp of the trace's first request.
    origin: Option<u128>,
    /// How many records have been read.
    records: u64,
    /// How many of them lay in the window.
    in_window: u64,
    held: BinaryHeap<Reverse<Replayed>>,
    sequence: u64,
    /// No request that is still unread comes before this.
    floor: SimTime,
    ended: bool,
}

/// How records become requests.
#[derive(Debug)]
struct Plan {
    from: u128,
    to: Option<u128>,
    time_scale: f64,
    copies: Copies,
    /// The width of a batch.
    dejitter: Option<(SimDuration, NamedStream)>,
    input_scale: f64,
    output_scale: f64,
    max_input: u32,
    on_over: OnOver,
    /// `None` where hash ids are ignored.
    block_tokens: Option<u32>,
    nothing_shared: Arc<[Segment]>,
}

/// How often each record is sent, and as whose.
#[derive(Debug)]
struct Copies {
    /// `None`: once each.
    scale: Option<Scale>,
    /// Keys of the contents of the original and of each copy.
    contents: Vec<u64>,
}

#[derive(Debug)]
struct Scale {
    /// Expected number of copies, the original among them.
    factor: f64,
    /// The original stays where it is, the others are shifted by up to this.
    jitter: SimDuration,
    stream: NamedStream,
}

impl ReplaySpec {
    /// Opens the trace for the source called `source`.
    ///
    /// # Errors
    /// A [`Problem`] with the key at fault, relative to the source, or the line.
    pub(super) fn replay(&self, source: &str, lines: Lines, streams: &Streams) -> Result<Replay, Problem> {
        let plan = self.plan(source, streams)?;
        if self.time_unit.is_some() && matches!(self.format, Format::Azure | Format::Mooncake) {
            return Err(Problem::key("time_unit", "the unit of time is part of the format")
                .help("remove `time_unit`, or use `format = \"csv\"`"));
        }
        let trace =
            Trace::open(lines, self.format, self.columns.as_ref(), self.time_unit.unwrap_or_default())?;
        Ok(Replay {
            trace,
            plan,
            origin: None,
            records: 0,
            in_window: 0,
            held: BinaryHeap::new(),
            sequence: 0,
            floor: SimTime::ZERO,
            ended: false,
        })
    }

    fn plan(&self, source: &str, streams: &Streams) -> Result<Plan, Problem> {
        let Window { from, to } = self.window;
        if to.is_some_and(|to| to <= from) {
            return Err(Problem::key("window.to", "the window ends before it begins")
                .help("`to` is later than `from`"));
        }
        let TraceLengths { input_scale, output_scale, max_input, on_over } = self.lengths;
        if on_over.is_some() && max_input.is_none() {
            return Err(Problem::key(
                "lengths.on_over",
                "`on_over` says what happens above `max_input`, which is not given",
            )
            .help("give `max_input`, or remove `on_over`"));
        }
        if max_input.is_some_and(|max| max.get() == 0 || max.get() > TOKENS_MAX) {
            return Err(Problem::key("lengths.max_input", "no prompt is that long")
                .help(format!("give 1 to {TOKENS_MAX} tokens")));
        }
        let block = self.prefix.block_tokens.map_or(512, Tokens::get);
        if block == 0 || block > TOKENS_MAX {
            return Err(Problem::key("prefix.block_tokens", format!("a block of {block} tokens"))
                .help("Mooncake's have 512"));
        }
        let input_scale = factor("lengths.input_scale", input_scale.unwrap_or(1.0))?;
        Ok(Plan {
            from: from.duration().as_ps().into(),
            to: to.map(|to| to.duration().as_ps().into()),
            time_scale: factor("time_scale", self.time_scale)?,
            copies: self.copies(source, streams)?,
            dejitter: self
                .dejitter
                .duration()
                .map(|width| (width, streams.named(&format!("dejitter/{source}")))),
            input_scale,
            output_scale: factor("lengths.output_scale", output_scale.unwrap_or(1.0))?,
            max_input: max_input.map_or(TOKENS_MAX, Tokens::get),
            on_over: on_over.unwrap_or(OnOver::Clamp),
            block_tokens: (self.prefix.hash_ids == HashIds::Auto).then_some(block),
            nothing_shared: Arc::from([]),
        })
    }

    fn copies(&self, source: &str, streams: &Streams) -> Result<Copies, Problem> {
        let stream = streams.named(&format!("rate_scale/{source}"));
        let scale = self.rate_scale.as_ref().map(|scale| scale.checked(stream)).transpose();
        let scale = scale.map_err(|problem| problem.under("rate_scale"))?;
        let copies = scale.as_ref().map_or(1, |scale| libm::ceil(scale.factor) as usize);
        let contents =
            (0..copies).map(|copy| contents_key(streams, &format!("replay/{source}/{copy}"))).collect();
        Ok(Copies { scale, contents })
    }
}

impl RateScale {
    fn checked(&self, stream: NamedStream) -> Result<Scale, Problem> {
        let RateScale { factor, mode, jitter } = *self;
        let (low, high, other) = match mode {
            ScaleMode::Thin => (0.0, 1.0, "for more requests use `mode = \"superpose\"`"),
            ScaleMode::Superpose => (1.0, 1000.0, "for fewer requests use `mode = \"thin\"`"),
            ScaleMode::Compress => {
                return Err(Problem::key("mode", "`compress` is not supported yet")
                    .help("a `time_scale` of 1 / factor is the same"));
            }
        };
        if !(low..=high).contains(&factor) {
            return Err(Problem::key("factor", format!("`factor` is {factor}"))
                .help(format!("this mode takes {low} to {high}; {other}")));
        }
        if mode == ScaleMode::Thin && jitter.is_some() {
            return Err(
                Problem::key("jitter", "`jitter` shifts copies, and `thin` makes none").help("remove it")
            );
        }
        Ok(Scale { factor, jitter: jitter.map_or(SimDuration::from_secs(1), Seconds::duration), stream })
    }
}

fn factor(key: &str, x: f64) -> Result<f64, Problem> {
    // Written so that NaN is refused too.
    if x > 0.0 && x <= 1e6 {
        return Ok(x);
    }
    Err(Problem::key(key, format!("`{key}` is {x}"))
        .help("it is a factor: above 0, at most 10^6; 1 changes nothing"))
}

impl Replay {
    /// The next request in order of time, those of equal time in the order of the file.
    pub(super) fn next(&mut self) -> Result<Option<Replayed>, Problem> {
        loop {
            if self.held.peek().is_some_and(|Reverse(first)| self.ended || first.at <= self.floor) {
                return Ok(self.held.pop().map(|Reverse(first)| first));
            }
            if self.ended {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// Reads one record and holds what becomes of it.
    fn read(&mut self) -> Result<(), Problem> {
        let Some(record) = self.trace.next()? else { return self.end() };
        let ordinal = self.records;
        self.records += 1;
        let offset = record.at - *self.origin.get_or_insert(record.at);
        if self.plan.to.is_some_and(|to| offset >= to) {
            return self.end();
        }
        if offset < self.plan.from {
            return Ok(());
        }
        self.in_window += 1;
        let offset = offset - self.plan.from;
        self.floor = self.plan.instant(offset, record.line)?;
        let Some((prompt_tokens, output_tokens)) = self.plan.lengths(&record)? else { return Ok(()) };
        for (copy, shift) in self.plan.shifts(ordinal).enumerate() {
            let replayed = Replayed {
                at: self.plan.instant(offset + shift, record.line)?,
                sequence: self.sequence,
                prompt_tokens,
                output_tokens,
                shared: self.plan.shared(&record, copy, prompt_tokens)?,
            };
            self.sequence += 1;
            self.held.push(Reverse(replayed));
        }
        if self.held.len() > HELD_MAX {
            return Err(Problem::line(
                record.line,
                "",
                format!("more than {HELD_MAX} requests lie within one shift"),
            )
            .help("use a shorter `dejitter`, or a shorter `rate_scale.jitter`"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.ended = true;
        if self.in_window == 0 {
            return Err(Problem::key("window", "the trace has no request in this window")
                .help("times of a window count from the trace's first request"));
        }
        Ok(())
    }
}

impl Plan {
    /// When a request is sent that the trace has `offset` picoseconds after the start of the window.
    fn instant(&self, offset: u128, line: u64) -> Result<SimTime, Problem> {
        let horizon = SimTime::HORIZON.as_ps();
        // An `f64` holds two and a half hours to the picosecond, a day to within 16 ps; the order is kept in any case.
        let ps = if self.time_scale == 1.0 {
            offset
        } else {
            libm::round(offset as f64 * self.time_scale) as u128
        };
        match u64::try_from(ps) {
            Ok(ps) if ps <= horizon => Ok(SimTime::from_ps(ps)),
            _ => Err(Problem::line(
                line,
                "",
                "the timestamp is more than 106 days after the first, beyond any run",
            )
            .help("is the unit of time right? See `format` and `time_unit`")),
        }
    }

    /// How often the record is sent, and how much later than in the trace, in picoseconds of the trace's time.
    fn shifts(&self, ordinal: u64) -> impl Iterator<Item = u128> {
        let uniform = |width: SimDuration, u: f64| (width.as_ps() as f64 * u) as u128;
        let (mut copies, mut jitter) = (1, None);
        if let Some(Scale { factor, jitter: width, stream }) = &self.copies.scale {
            let mut stream = stream.at(ordinal);
            let whole = libm::floor(*factor);
            copies = whole as usize + usize::from(stream.unit() < factor - whole);
            jitter = Some((*width, stream));
        }
        let mut batch = self.dejitter.as_ref().map(|(width, stream)| (*width, stream.at(ordinal)));
        (0..copies).map(move |copy| {
            let draw = |(width, stream): &mut (SimDuration, Stream)| uniform(*width, stream.unit());
            let of_copy = jitter.as_mut().filter(|_| copy > 0).map_or(0, draw);
            of_copy + batch.as_mut().map_or(0, draw)
        })
    }

    /// Prompt and answer, or `None` where the request is left out.
    fn lengths(&self, record: &Record) -> Result<Option<(Tokens, Tokens)>, Problem> {
        let scaled = |what: &str, tokens: u32, scale: f64| {
            if scale == 1.0 && (1..=TOKENS_MAX).contains(&tokens) {
                return Ok(tokens);
            }
            let x = libm::round(f64::from(tokens) * scale).max(1.0);
            if x > f64::from(TOKENS_MAX) {
                let message = format!("the {what} has {x} tokens after scaling, more than any model takes");
                return Err(Problem::line(record.line, "", message).help("use a smaller scale in `lengths`"));
            }
            Ok(x as u32)
        };
        let prompt = scaled("prompt", record.prompt_tokens, self.input_scale)?;
        let output = scaled("output", record.output_tokens, self.output_scale)?;
        if prompt > self.max_input && self.on_over == OnOver::Drop {
            return Ok(None);
        }
        Ok(Some((Tokens(prompt.min(self.max_input)), Tokens(output))))
    }

    /// What the prompt shares. A block is scaled like the prompt, so that what was shared stays shared.
    fn shared(&self, record: &Record, copy: usize, prompt: Tokens) -> Result<Arc<[Segment]>, Problem> {
        let Some(block) = self.block_tokens.filter(|_| !record.hash_ids.is_empty()) else {
            return Ok(self.nothing_shared.clone());
        };
        if record.hash_ids.len() as u64 > u64::from(record.prompt_tokens.div_ceil(block)) {
            let (ids, tokens) = (record.hash_ids.len(), record.prompt_tokens);
            let message =
                format!("{ids} hash_ids of {block} tokens are more than a prompt of {tokens} tokens has");
            return Err(Problem::line(record.line, "", message)
                .help("set `prefix.block_tokens` to the trace's block size"));
        }
        let block =
            (libm::round(f64::from(block) * self.input_scale).clamp(1.0, f64::from(TOKENS_MAX))) as u32;
        let contents = self.copies.contents.get(copy).copied().unwrap_or_default();
        let mut left = prompt.get();
        let segments = record.hash_ids.iter().map_while(|id| {
            let tokens = left.min(block);
            left -= tokens;
            (tokens > 0).then_some(Segment { content: ContentId(id ^ contents), tokens: Tokens(tokens) })
        });
        Ok(segments.collect())
    }
}
