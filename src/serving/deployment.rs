//! The Deployment and its one ReplicaSet: how many pods there should be, which exist, and what they are called.
//!
//! `status.replicas` counts pods that exist and do not terminate, ready or not; a rollout never happens during a run, so
//! one ReplicaSet owns all pods.

use crate::random::{NamedStream, Stream, Streams};
use crate::units::Replicas;
use std::collections::BTreeSet;

/// Letters of generated names: no vowels, no look-alikes (`k8s.io/apimachinery/pkg/util/rand`).
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of a pod template hash and of a pod's own suffix.
const HASH_LENGTH: usize = 10;
const SUFFIX_LENGTH: usize = 5;

/// What the ReplicaSet has to do to reach `spec.replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconcile {
    /// Enough pods exist.
    Nothing,
    /// Create so many.
    Create(u32),
    /// Delete so many; which, says [`replica_set`](super::replica_set).
    Delete(u32),
}

/// The Deployment with its pods by creation ordinal.
#[derive(Clone, Debug)]
pub struct Deployment {
    name: String,
    template_hash: String,
    names: NamedStream,
    uids: NamedStream,
    spec_replicas: Replicas,
    /// Pods that exist and do not terminate.
    active: BTreeSet<u32>,
    ready: Replicas,
    created: u32,
}

impl Deployment {
    /// A Deployment without pods.
    pub fn new(name: &str, spec_replicas: Replicas, streams: &Streams) -> Self {
        Deployment {
            template_hash: letters(&mut streams.stream("deployment/template-hash"), HASH_LENGTH),
            names: streams.named("deployment/pod-names"),
            uids: streams.named("deployment/pod-uids"),
            name: name.to_owned(),
            spec_replicas,
            active: BTreeSet::new(),
            ready: Replicas::ZERO,
            created: 0,
        }
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `spec.replicas`.
    pub fn spec_replicas(&self) -> Replicas {
        self.spec_replicas
    }

    /// `status.replicas`.
    pub fn status_replicas(&self) -> Replicas {
        Replicas(self.active.len() as i32)
    }

    /// `status.readyReplicas`.
    pub fn ready_replicas(&self) -> Replicas {
        self.ready
    }

    /// Pods that exist and do not terminate, oldest first.
    pub fn active(&self) -> impl Iterator<Item = u32> + '_ {
        self.active.iter().copied()
    }

    /// Writes `spec.replicas`.
    pub fn scale(&mut self, replicas: Replicas) {
        self.spec_replicas = replicas;
    }

    /// What is missing or too much.
    pub fn reconcile(&self) -> Reconcile {
        let wanted = self.spec_replicas.get().max(0) as usize;
        match self.active.len() {
            have if have < wanted => Reconcile::Create((wanted - have) as u32),
            have if have > wanted => Reconcile::Delete((have - wanted) as u32),
            _ => Reconcile::Nothing,
        }
    }

    /// Creates a pod: its ordinal, name and UID. The same pod has the same name under every policy.
    pub fn create_pod(&mut self) -> (u32, String, String) {
        let ordinal = self.created;
        self.created += 1;
        self.active.insert(ordinal);
        let suffix = letters(&mut self.names.at(u64::from(ordinal)), SUFFIX_LENGTH);
        let name = format!("{}-{}-{suffix}", self.name, self.template_hash);
        (ordinal, name, uuid(&mut self.uids.at(u64::from(ordinal))))
    }

    /// The pod became Ready.
    pub fn pod_ready(&mut self) {
        self.ready += Replicas(1);
    }

    /// The pod is deleted; `was_ready` says whether it counted as Ready.
    pub fn delete_pod(&mut self, ordinal: u32, was_ready: bool) {
        let existed = self.active.remove(&ordinal);
        debug_assert!(existed, "pod {ordinal} is deleted twice");
        if was_ready {
            self.ready -= Replicas(1);
        }
    }
}

fn letters(stream: &mut Stream, length: usize) -> String {
    (0..length).map(|_| char::from(NAME_LETTERS[stream.below(NAME_LETTERS.len() as u64) as usize])).collect()
}

/// A random UUID, version 4.
fn uuid(stream: &mut Stream) -> String {
    let (high, low) = (stream.bits(), stream.bits());
    let version = (high & !0xf000) | 0x4000;
    let variant = (low & (u64::MAX >> 2)) | (1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_what_exists_and_says_what_is_missing() {
        let mut deployment = Deployment::new("llama-predictor", Replicas(2), &Streams::new(1));
        assert_eq!(deployment.reconcile(), Reconcile::Create(2));
        let (first, ..) = deployment.create_pod();
        let (second, ..) = deployment.create_pod();
        assert_eq!((first, second, deployment.reconcile()), (0, 1, Reconcile::Nothing));
        deployment.pod_ready();
        deployment.scale(Replicas(0));
        assert_eq!(deployment.reconcile(), Reconcile::Delete(2));
        deployment.delete_pod(0, true);
        assert_eq!((deployment.status_replicas(), deployment.ready_replicas()), (Replicas(1), Replicas(0)));
        assert_eq!(deployment.active().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn names_are_those_of_kubernetes_and_depend_on_the_seed_and_ordinal_only() {
        let named = |seed: u64| Deployment::new("llama", Replicas(1), &Streams::new(seed)).create_pod();
        let (_, name, uid) = named(1);
        let parts: Vec<&str> = name.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("llama", 10, 5));
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
        assert!(uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()));
        assert_eq!(named(1), named(1));
        assert_ne!(named(1), named(2));
    }
}
