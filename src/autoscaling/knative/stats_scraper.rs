//! The scrape of the queue-proxies: a sample of the pods stands for all (`pkg/autoscaler/metrics/stats_scraper.go`,
//! `sample_size.go`).

use super::stat::Stat;
use crate::random::Stream;

/// What one ready pod's queue-proxy reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PodStat {
    /// Whether the pod started at least a stable window ago.
    pub(super) old: bool,
    /// Its last report.
    pub(super) stat: Stat,
}

/// How many of `population` pods are scraped: all up to three, then as many as give their mean with a margin of 5 at a
/// confidence of 95 %, if their variance is 100. For a large population these are 16.
fn sample_size(population: usize) -> usize {
    /// 1.96^2 * 100 / 5^2.
    const UNBOUNDED: f64 = 15.3664;
    if population <= 3 {
        return population;
    }
    let pods = population as f64;
    (pods * UNBOUNDED / (pods + UNBOUNDED - 1.0)).ceil() as usize
}

/// The stat of all pods together, or `None` without a pod.
///
/// Pods that started less than a stable window ago are only taken where the others do not suffice: their values are
/// thought to be too low. So after a step of size the older pods stand for the new ones, and the load reads too high.
pub(super) fn scrape(pods: &[PodStat], stream: &mut Stream) -> Option<Stat> {
    if pods.is_empty() {
        return None;
    }
    let sample = sample_size(pods.len());
    let (mut chosen, mut young): (Vec<usize>, Vec<usize>) = (0..pods.len()).partition(|&pod| pods[pod].old);
    if chosen.len() < sample {
        let missing = sample - chosen.len();
        choose(&mut young, missing, stream);
        chosen.extend(young);
    } else {
        choose(&mut chosen, sample, stream);
    }
    let mut total = Stat::default();
    for pod in chosen {
        total.add(pods[pod].stat);
    }
    Some(total.extrapolated(sample, pods.len()))
}

/// Leaves a random `count` of `pods`; draws nothing where there is no choice.
fn choose(pods: &mut Vec<usize>, count: usize, stream: &mut Stream) {
    if count < pods.len() {
        for slot in 0..count {
            let other = slot + stream.below((pods.len() - slot) as u64) as usize;
            pods.swap(slot, other);
        }
        pods.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn pod(old: bool, concurrency: f64) -> PodStat {
        PodStat { old, stat: Stat { average_concurrent_requests: concurrency, ..Stat::default() } }
    }

    #[test]
    fn the_sample_grows_to_sixteen() {
        let sizes = [0, 1, 3, 4, 10, 100, 100_000].map(sample_size);
        assert_eq!(sizes, [0, 1, 3, 4, 7, 14, 16]);
    }

    #[test]
    fn up_to_four_pods_are_all_scraped() {
        let mut stream = Streams::new(1).stream("scrape");
        assert_eq!(scrape(&[], &mut stream), None);
        let pods = [pod(false, 1.0), pod(true, 2.0), pod(false, 4.0)];
        let total = scrape(&pods, &mut stream).expect("there are pods");
        assert_eq!(total.average_concurrent_requests, 7.0);
    }

    #[test]
    fn old_pods_stand_for_young_ones() {
        let mut stream = Streams::new(1).stream("scrape");
        let mut pods = vec![pod(true, 5.0); 7];
        pods.extend([pod(false, 0.0); 3]);
        let total = scrape(&pods, &mut stream).expect("there are pods");
        assert_eq!(total.average_concurrent_requests, 50.0);
        // With six old pods one young one is among the seven of the sample.
        pods[0] = pod(false, 0.0);
        let total = scrape(&pods, &mut stream).expect("there are pods");
        assert_eq!(total.average_concurrent_requests, 30.0 / 7.0 * 10.0);
    }
}
