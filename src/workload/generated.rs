//! Requests that are made once for all runs that would make the same.

use super::class::Class;
use super::request::{Request, Segment};
use super::spec::WorkloadSpec;
use super::traffic::Workload;
use crate::units::{SimDuration, SimTime, Tokens};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A list of more requests than these (40 MB) is not made: each run makes them one at a time.
const LIST_MAX: usize = 1_000_000;

/// The requests in all lists that are kept; more would take memory that the runs need.
const KEPT_MAX: usize = 4 * LIST_MAX;

/// All requests of a workload under one seed, in their order.
#[derive(Debug)]
pub(super) struct Generated {
    requests: Vec<Compact>,
    trace_end: Option<SimTime>,
}

/// A request without what its place in the list and its class say.
#[derive(Debug)]
struct Compact {
    sent: SimTime,
    prompt_tokens: Tokens,
    output_tokens: Tokens,
    source: u16,
    class: u16,
    /// `None` where it shares nothing.
    shared: Option<Arc<[Segment]>>,
}

impl Generated {
    /// The list of all that `workload`, of which nothing has been taken, sends. `None` where that is too much or where a
    /// line of a trace cannot be read: then each run finds out for itself, when it comes to it.
    fn of(workload: &mut Workload) -> Option<Generated> {
        let mut requests = Vec::new();
        while let Some(request) = workload.next_request().ok()? {
            if requests.len() == LIST_MAX {
                return None;
            }
            requests.push(Compact {
                sent: request.sent,
                prompt_tokens: request.prompt_tokens,
                output_tokens: request.output_tokens,
                source: request.source,
                class: request.class,
                shared: (!request.shared.is_empty()).then_some(request.shared),
            });
        }
        requests.shrink_to_fit();
        Some(Generated { requests, trace_end: workload.trace_end() })
    }

    /// The request with this ordinal.
    pub(super) fn get(
        &self,
        ordinal: u64,
        classes: &[Class],
        nothing_shared: &Arc<[Segment]>,
    ) -> Option<Request> {
        let request = self.requests.get(usize::try_from(ordinal).ok()?)?;
        let class = &classes[usize::from(request.class)];
        Some(Request {
            ordinal,
            source: request.source,
            class: request.class,
            sent: request.sent,
            prompt_tokens: request.prompt_tokens,
            output_tokens: request.output_tokens,
            finish: class.finish,
            priority: class.priority,
            shared: Arc::clone(request.shared.as_ref().unwrap_or(nothing_shared)),
            timeout: class.timeout,
        })
    }

    /// See [`Workload::trace_end`].
    pub(super) fn trace_end(&self) -> Option<SimTime> {
        self.trace_end
    }
}

/// What sets the requests of a run apart from those of others.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestsKey {
    /// The workload.
    pub spec: WorkloadSpec,
    /// How long it lasts.
    pub duration: SimDuration,
    /// The seed.
    pub seed: u64,
    /// What is in the files that it names, as a hash.
    pub files: Option<String>,
}

/// The requests that the runs of a sweep or of a comparison share: made by the first run that needs them, under one seed
/// once for all policies. May be used from several threads.
#[derive(Debug, Default)]
pub struct SharedRequests {
    lists: Mutex<Vec<(RequestsKey, Arc<List>)>>,
}

/// `None`: cannot be shared. Empty: not made yet.
type List = OnceLock<Option<Arc<Generated>>>;

impl SharedRequests {
    /// The workload of the run with this key, which `make` makes.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn workload<E>(
        &self,
        key: &RequestsKey,
        make: impl Fn() -> Result<Workload, E>,
    ) -> Result<Workload, E> {
        let mut workload = make()?;
        let list = self.list(key);
        let mut spent = false;
        let generated = list.get_or_init(|| {
            spent = true;
            Generated::of(&mut workload).map(Arc::new)
        });
        match generated {
            Some(generated) => Ok(workload.with(Arc::clone(generated))),
            None if spent => make(),
            None => Ok(workload),
        }
    }

    /// The place of the list with this key. Room for it is made by forgetting other workloads, the eldest first; one
    /// workload's seeds, which come again with each policy, do not push out one another.
    fn list(&self, key: &RequestsKey) -> Arc<List> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = lists.iter().find(|(known, _)| known == key) {
            return Arc::clone(list);
        }
        let kept = |lists: &[(RequestsKey, Arc<List>)]| -> usize {
            lists.iter().map(|(_, list)| size(list)).sum::<usize>()
        };
        while kept(&lists) + LIST_MAX > KEPT_MAX
            && let Some(other) = lists.iter().position(|(known, _)| known.spec != key.spec)
        {
            lists.remove(other);
        }
        let list = Arc::new(List::new());
        if kept(&lists) + LIST_MAX > KEPT_MAX {
            // Nobody else will ask for this one.
            let _ = list.set(None);
        } else {
            lists.push((key.clone(), Arc::clone(&list)));
        }
        list
    }
}

/// How much of the room a list takes; one that is being made may become as large as any.
fn size(list: &List) -> usize {
    match list.get() {
        None => LIST_MAX,
        Some(None) => 0,
        Some(Some(generated)) => generated.requests.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;
    use crate::random::Streams;
    use std::cell::Cell;
    use std::io::Cursor;

    const OPEN: &str = r#"
        class = [
            { name = "a", input = { dist = "exponential", mean = 90 }, output = { dist = "exponential", mean = 9 },
              prefix = { groups = 3, tokens = { dist = "constant", value = 30 } } },
            { name = "b", input = { dist = "constant", value = 5 }, output = { dist = "constant", value = 5 },
              priority = 3, finish = "length", client = { timeout = "7s" } },
        ]
        source = [{ name = "x", rate = 20, mix = { a = 0.5, b = 0.5 } }, { name = "y", rate = 3, mix = { b = 1.0 } }]
    "#;
    const REPLAY: &str =
        "source = [{ kind = 'replay', file = 't.csv', rate_scale = { factor = 0.5, mode = 'thin' } }]";

    fn key(spec: &str, seed: u64) -> RequestsKey {
        let spec = toml::from_str(spec).unwrap_or_else(|error| panic!("{error}"));
        RequestsKey { spec, duration: SimDuration::from_secs(60), seed, files: None }
    }

    fn make(key: &RequestsKey, trace: &str) -> Result<Workload, Problem> {
        let mut open = |_: &str| -> Result<Box<dyn std::io::BufRead + Send>, Problem> {
            Ok(Box::new(Cursor::new(trace.as_bytes().to_vec())))
        };
        Workload::new(&key.spec, &Streams::new(key.seed), key.duration, &mut open)
    }

    fn requests(mut workload: Workload) -> Result<(Vec<String>, Option<SimTime>), Problem> {
        let mut all = Vec::new();
        while let Some(request) = workload.next_request()? {
            all.push(format!("{request:?}"));
        }
        Ok((all, workload.trace_end()))
    }

    fn trace(lines: u32) -> String {
        let lines = (0..lines).map(|i| format!("{i},{},{}\n", i + 1, i % 7));
        format!("timestamp,prompt_tokens,output_tokens\n{}", lines.collect::<String>())
    }

    #[test]
    fn shared_requests_are_those_that_each_run_would_make() {
        let shared = SharedRequests::default();
        let trace = trace(50);
        for spec in [OPEN, REPLAY] {
            let mut differ = Vec::new();
            for seed in [1, 2, 1] {
                let key = key(spec, seed);
                let alone = make(&key, &trace).and_then(requests).expect("a workload");
                let made = Cell::new(0);
                let make = || {
                    made.set(made.get() + 1);
                    make(&key, &trace)
                };
                let workload = shared.workload(&key, make).expect("a workload");
                assert_eq!((workload.classes().len(), made.get()), (1 + usize::from(spec == OPEN), 1));
                let together = requests(workload).expect("requests");
                assert_eq!(alone, together);
                assert!(together.0.len() > 20 && together.1.is_some() == (spec == REPLAY));
                differ.push(together);
            }
            assert_ne!(differ[0], differ[1]);
            assert_eq!(differ[0], differ[2]);
        }
        assert_eq!(shared.lists.lock().expect("whole").len(), 4);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_by_the_run_that_comes_to_it() {
        let shared = SharedRequests::default();
        let key = key(REPLAY, 1);
        let trace = format!("{}x,y,z\n", trace(30));
        for _ in 0..2 {
            let alone = make(&key, &trace).and_then(requests).expect_err("a bad line");
            let together = shared.workload(&key, || make(&key, &trace)).and_then(requests);
            assert_eq!(together.expect_err("a bad line"), alone);
        }
    }

    #[test]
    fn other_workloads_make_room_and_seeds_of_the_same_do_not() {
        let shared = SharedRequests::default();
        let kept = || shared.lists.lock().expect("whole").iter().map(|(key, _)| key.seed).collect::<Vec<_>>();
        let long = |seed| RequestsKey { duration: SimDuration::from_secs(40_000), ..key(OPEN, seed) };
        for seed in 0..6 {
            drop(shared.workload(&long(seed), || make(&long(seed), "")).expect("a workload"));
        }
        // 920,000 requests each: three lists and one that may come.
        assert_eq!(kept(), [0, 1, 2, 3]);
        drop(shared.workload(&key(REPLAY, 9), || make(&key(REPLAY, 9), &trace(5))).expect("a workload"));
        assert_eq!(kept(), [1, 2, 3, 9]);
    }
}
