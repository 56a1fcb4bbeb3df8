//! What the models belong to, and what the pods of each say about nodes.

use std::collections::BTreeMap;

use crate::{
    advice::ObjectRef,
    placement::{fence::Fence, patch::Edit, survey::Survey, template},
    scheduling::Rules,
    who::Role,
};

/// Something that has models for pods.
#[derive(Debug, Clone)]
pub(super) struct Workload<'a> {
    pub(super) object: ObjectRef,
    /// The path of its pods' spec within it; `None` where no patch of it would move its pods.
    pub(super) template: Option<&'static str>,
    pub(super) pods: u32,
    pub(super) rules: Told<'a>,
}

/// What is known of the rules of its pods, and so of its template's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told<'a> {
    /// Nobody has told us, as off Kubernetes.
    Nothing,
    /// Each pod that we know says this.
    Alike(&'a Rules),
    /// They differ, as during a rollout: it is not known which of them the template says.
    Differing,
}

impl Workload<'_> {
    /// What each of its pods says, where that is known.
    pub(super) fn told(&self) -> Option<&Rules> {
        match self.rules {
            Told::Alike(rules) => Some(rules),
            Told::Nothing | Told::Differing => None,
        }
    }

    /// Its pods are placed within the fence only, and may be there.
    pub(super) fn is_held(&self, fence: &Fence) -> bool {
        self.told().is_some_and(|rules| fence.holds(rules))
    }

    /// What its template is to say beside what it says; `None`: that is for a person to find out. Of a
    /// template of which nothing is known the guards of the patch hold that it says nothing.
    pub(super) fn edits(&self, fence: &Fence) -> Option<Vec<Edit>> {
        let bare = Rules::default();
        let rules = match self.rules {
            Told::Alike(rules) if fence.holds(rules) => return Some(Vec::new()),
            Told::Alike(rules) => rules,
            Told::Nothing => &bare,
            Told::Differing => return None,
        };
        Some(template::edits(self.template?, rules, &fence.holding(rules)))
    }
}

/// Those whose template is to say something else, or would be, if it were known.
pub(super) fn patched<'a>(
    workloads: impl IntoIterator<Item = &'a Workload<'a>>,
    fence: &Fence,
) -> Vec<&'a Workload<'a>> {
    let is_patched = |workload: &&Workload<'_>| workload.edits(fence).is_none_or(|edits| !edits.is_empty());
    workloads.into_iter().filter(is_patched).collect()
}

/// The models' owners.
pub(super) fn workloads<'a>(survey: &Survey<'a>) -> Vec<Workload<'a>> {
    let mut workloads: BTreeMap<&ObjectRef, Workload<'a>> = BTreeMap::new();
    for pod in survey.pods.iter().filter(|pod| pod.role == Role::Model) {
        let workload = workloads.entry(&pod.owner).or_insert_with(|| Workload {
            object: pod.owner.clone(),
            template: template::of_kind(&pod.owner.kind),
            pods: 0,
            rules: Told::Nothing,
        });
        workload.pods += 1;
        workload.rules = match (workload.rules, pod.rules) {
            (told, None) => told,
            (Told::Nothing, Some(rules)) => Told::Alike(rules),
            (Told::Alike(before), Some(rules)) if before == rules => Told::Alike(before),
            (Told::Alike(_) | Told::Differing, Some(_)) => Told::Differing,
        };
    }
    workloads.into_values().collect()
}
