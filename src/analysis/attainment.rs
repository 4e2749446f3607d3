//! Who met the targets: each request is judged by its class's, by its fate and by the deadlines that have passed.

use super::load::per_second;
use crate::simulation::record::{Fate, RequestRecord};
use crate::simulation::summary::{ClassSlo, Slo};
use crate::units::{SimDuration, SimTime};
use indexmap::IndexMap;

/// What a request of a class should meet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassTargets {
    /// Name of the class.
    pub name: String,
    /// Longest time to first token.
    pub ttft: Option<SimDuration>,
    /// Longest time per output token after the first.
    pub tpot: Option<SimDuration>,
    /// Longest time to the last token.
    pub e2e: Option<SimDuration>,
    /// The share of requests that should meet all of these, 0..=1.
    pub attainment: f64,
}

impl ClassTargets {
    /// Whether it has a target at all; requests of a class without one are not judged.
    pub fn has_any(&self) -> bool {
        self.ttft.is_some() || self.tpot.is_some() || self.e2e.is_some()
    }
}

pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Requests that met something, of those that count.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    met: u64,
    known: u64,
}

impl Tally {
    /// Counts one request; `None`: its outcome is open, so it is left out.
    fn count(&mut self, met: Option<bool>) {
        if let Some(met) = met {
            self.known += 1;
            self.met += u64::from(met);
        }
    }

    fn share(self) -> Option<f64> {
        ratio(self.met, self.known)
    }
}

/// Who met the targets: all of them together by class, and each alone.
#[derive(Debug, Default)]
pub(super) struct Attainment {
    by_class: Vec<Tally>,
    ttft: Tally,
    tpot: Tally,
    e2e: Tally,
}

impl Attainment {
    pub(super) fn new(classes: &[ClassTargets]) -> Self {
        Attainment { by_class: vec![Tally::default(); classes.len()], ..Self::default() }
    }

    /// Judges a request by its class's targets. `end` is the end of the run, which only unfinished requests ask for.
    pub(super) fn judge(&mut self, classes: &[ClassTargets], request: &RequestRecord, end: SimTime) {
        let targets = &classes[usize::from(request.class)];
        if !targets.has_any() {
            return;
        }
        let ttft = targets.ttft.and_then(|target| within(request.ttft(), target, request, end));
        let e2e = targets.e2e.and_then(|target| within(request.e2e(), target, request, end));
        // A finished request of a single token has no TPOT, so nothing of it can miss that target.
        let tpot = targets.tpot.and_then(|target| Some(request.tpot()? <= target));
        self.ttft.count(ttft);
        self.tpot.count(tpot);
        self.e2e.count(e2e);

        let missed = [ttft, tpot, e2e].contains(&Some(false));
        self.by_class[usize::from(request.class)].count(match request.fate {
            Fate::Finished => Some(!missed),
            // Whoever got no answer was not served, also where the only target was met before the end.
            Fate::Aborted | Fate::Killed | Fate::Refused => Some(false),
            Fate::Waiting | Fate::Running => missed.then_some(false),
        });
    }

    pub(super) fn slo(&self, classes: &[ClassTargets], measured: SimDuration) -> Slo {
        let targeted = || classes.iter().zip(&self.by_class).filter(|(class, _)| class.has_any());
        let all = targeted().fold(Tally::default(), |all, (_, tally)| Tally {
            met: all.met + tally.met,
            known: all.known + tally.known,
        });
        let classes = targeted()
            .map(|(class, tally)| {
                (class.name.clone(), ClassSlo { attainment: tally.share(), target: class.attainment })
            })
            .collect();
        Slo {
            attainment: all.share(),
            goodput_rps: targeted().next().map(|_| per_second(all.met, measured)),
            ttft_attainment: self.ttft.share(),
            tpot_attainment: self.tpot.share(),
            e2e_attainment: self.e2e.share(),
            met: met(&classes),
            classes,
        }
    }
}

/// Whether `latency` is within `target`; where there is no latency, whether there can still be one: a request that ended
/// without it missed, one whose deadline has passed by `end` missed, and the rest is open.
fn within(
    latency: Option<SimDuration>,
    target: SimDuration,
    request: &RequestRecord,
    end: SimTime,
) -> Option<bool> {
    if let Some(latency) = latency {
        return Some(latency <= target);
    }
    match request.fate {
        Fate::Waiting | Fate::Running => {
            // One that was never sent has no deadline: latencies count from the first send.
            let passed = request.sent.is_some_and(|sent| end.since(sent) > target);
            passed.then_some(false)
        }
        _ => Some(false),
    }
}

/// Whether each class with a known attainment reached its share; `None` where none has one.
pub(super) fn met(classes: &IndexMap<String, ClassSlo>) -> Option<bool> {
    let mut known = classes.values().filter_map(|class| Some((class.attainment?, class.target))).peekable();
    known.peek()?;
    Some(known.all(|(attainment, target)| attainment >= target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Tokens;

    const END: SimTime = SimTime::from_ps(100 * 1_000_000_000_000);

    fn secs(s: f64) -> SimDuration {
        SimDuration::from_secs_f64(s).expect("seconds")
    }

    /// Sent at 90 s, ten seconds before the end; first token and end in seconds after that.
    fn request(
        fate: Fate,
        first_token: Option<f64>,
        ended: Option<f64>,
        output_tokens: u32,
    ) -> RequestRecord {
        let sent = SimTime::ZERO + secs(90.0);
        RequestRecord {
            ordinal: 0,
            source: 0,
            class: 0,
            due: sent,
            sent: Some(sent),
            pod: Some(0),
            first_token: first_token.map(|s| sent + secs(s)),
            ended: ended.map(|s| sent + secs(s)),
            prompt_tokens: Tokens(100),
            output_tokens: Tokens(output_tokens),
            cached_tokens: Tokens(0),
            preemptions: 0,
            attempts: 1,
            fate,
            reason: "",
            measured: true,
        }
    }

    fn targets(ttft: Option<f64>, tpot: Option<f64>, e2e: Option<f64>) -> ClassTargets {
        ClassTargets {
            name: "chat".to_owned(),
            ttft: ttft.map(secs),
            tpot: tpot.map(secs),
            e2e: e2e.map(secs),
            attainment: 0.95,
        }
    }

    /// The attainment of all targets, and of each alone, of one request.
    fn judged(targets: ClassTargets, request: &RequestRecord) -> [Option<f64>; 4] {
        let classes = [targets];
        let mut attainment = Attainment::new(&classes);
        attainment.judge(&classes, request, END);
        let slo = attainment.slo(&classes, secs(100.0));
        [slo.attainment, slo.ttft_attainment, slo.tpot_attainment, slo.e2e_attainment]
    }

    const MET: Option<f64> = Some(1.0);
    const MISSED: Option<f64> = Some(0.0);
    const OPEN: Option<f64> = None;

    #[test]
    fn a_finished_request_meets_the_slo_if_it_meets_every_target_its_bound_included() {
        let all = || targets(Some(1.0), Some(0.1), Some(5.0));
        let finished = |first, ended, tokens| request(Fate::Finished, Some(first), Some(ended), tokens);
        assert_eq!(judged(all(), &finished(1.0, 2.0, 11)), [MET, MET, MET, MET]);
        assert_eq!(judged(all(), &finished(1.1, 2.0, 11)), [MISSED, MISSED, MET, MET]);
        assert_eq!(judged(all(), &finished(1.0, 2.2, 11)), [MISSED, MET, MISSED, MET]);
        assert_eq!(judged(all(), &finished(1.0, 5.1, 101)), [MISSED, MET, MET, MISSED]);
    }

    #[test]
    fn a_single_token_has_no_tpot_to_miss() {
        let one = request(Fate::Finished, Some(1.0), Some(1.0), 1);
        assert_eq!(judged(targets(Some(1.0), Some(0.1), None), &one), [MET, MET, OPEN, OPEN]);
    }

    #[test]
    fn who_got_no_answer_missed_whatever_its_first_token_did() {
        for fate in [Fate::Aborted, Fate::Killed] {
            let cut = request(fate, Some(0.5), Some(2.0), 7);
            assert_eq!(judged(targets(Some(1.0), None, None), &cut), [MISSED, MET, OPEN, OPEN], "{fate:?}");
            assert_eq!(
                judged(targets(None, Some(9.0), Some(9.0)), &cut),
                [MISSED, OPEN, OPEN, MISSED],
                "{fate:?}"
            );
        }
        let refused = request(Fate::Refused, None, Some(0.0), 0);
        assert_eq!(judged(targets(Some(1.0), None, None), &refused), [MISSED, MISSED, OPEN, OPEN]);
    }

    #[test]
    fn the_unfinished_missed_once_a_deadline_has_passed_and_are_left_out_before() {
        for fate in [Fate::Waiting, Fate::Running] {
            let silent = request(fate, None, None, 0);
            assert_eq!(
                judged(targets(Some(9.9), None, None), &silent),
                [MISSED, MISSED, OPEN, OPEN],
                "{fate:?}"
            );
            assert_eq!(judged(targets(Some(10.0), None, None), &silent), [OPEN; 4], "{fate:?}");
            assert_eq!(
                judged(targets(None, None, Some(9.9)), &silent),
                [MISSED, OPEN, OPEN, MISSED],
                "{fate:?}"
            );
            assert_eq!(judged(targets(None, Some(0.1), None), &silent), [OPEN; 4], "{fate:?}");
            let speaking = request(fate, Some(2.0), None, 5);
            assert_eq!(
                judged(targets(Some(1.9), None, None), &speaking),
                [MISSED, MISSED, OPEN, OPEN],
                "{fate:?}"
            );
            // On time so far: whether it meets every target is open, that it met this one is not.
            assert_eq!(
                judged(targets(Some(2.0), None, None), &speaking),
                [OPEN, MET, OPEN, OPEN],
                "{fate:?}"
            );
        }
    }

    #[test]
    fn a_request_that_was_never_sent_has_no_deadline() {
        let held = RequestRecord { sent: None, ..request(Fate::Waiting, None, None, 0) };
        assert_eq!(judged(targets(Some(0.1), None, Some(0.1)), &held), [OPEN; 4]);
    }

    #[test]
    fn each_class_is_judged_by_its_own_targets_and_one_without_is_left_out() {
        let named = |name: &str, class: ClassTargets| ClassTargets { name: name.to_owned(), ..class };
        let classes = [
            named("fast", targets(Some(1.0), None, None)),
            named("slow", targets(Some(5.0), None, None)),
            named("batch", targets(None, None, None)),
        ];
        let mut attainment = Attainment::new(&classes);
        for (class, ttft) in [(0, 2.0), (0, 0.5), (1, 2.0), (1, 2.0), (2, 50.0)] {
            let request = RequestRecord { class, ..request(Fate::Finished, Some(ttft), Some(60.0), 9) };
            attainment.judge(&classes, &request, END);
        }
        let slo = attainment.slo(&classes, secs(10.0));
        assert_eq!((slo.attainment, slo.goodput_rps, slo.met), (Some(0.75), Some(0.3), Some(false)));
        assert_eq!(slo.classes.keys().collect::<Vec<_>>(), ["fast", "slow"]);
        assert_eq!(slo.classes["fast"], ClassSlo { attainment: Some(0.5), target: 0.95 });
        assert_eq!(slo.classes["slow"], ClassSlo { attainment: Some(1.0), target: 0.95 });
    }

    #[test]
    fn without_targets_or_requests_nothing_is_claimed() {
        let none = [targets(None, None, None)];
        assert_eq!(Attainment::new(&none).slo(&none, secs(1.0)), Slo::default());
        let some = [targets(Some(1.0), None, None)];
        let slo = Attainment::new(&some).slo(&some, secs(0.0));
        assert_eq!((slo.attainment, slo.met, slo.goodput_rps), (None, None, Some(0.0)));
    }
}
