//! BA102, BA103 and BA104: a fence of which a part is missing, whoever is hurt.
//!
//! A label and its affinity repel nobody, a taint and its toleration attract nobody; each piece of
//! advice completes a fence that somebody began, under its own key and value. Only a key without a
//! prefix begins one: Kubernetes leaves those to the people of a cluster, but for one that is older than
//! prefixes, while the others belong to whoever owns their domain (`node.kubernetes.io/...`,
//! `nvidia.com/gpu`) and mean something else. A label or taint that workloads other than models name too,
//! such as one for spot nodes, is no fence of the models.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    advice::{Advice, ObjectRef, Proof},
    placement::{
        assumptions::{daemons, templates},
        changes::Change,
        dedicate::Dedication,
        fence::Fence,
        survey::{Pod, Survey},
        workload::{Workload, patched},
    },
    scheduling::{Machine, Rules},
    time::AxisNsec,
    who::Role,
};

/// A taint that models tolerate is on a node without the label that they ask for.
pub(super) const NO_LABEL: &str = "BA102";
/// Models ask for a label, and no taint keeps others off its nodes.
pub(super) const NO_TAINT: &str = "BA103";
/// Models tolerate a taint, and nothing keeps them on its nodes.
pub(super) const NO_AFFINITY: &str = "BA104";

/// Kubernetes' own without a prefix: pools with this taint are for what keeps the cluster running.
const CRITICAL_ADDONS: &str = "CriticalAddonsOnly";

/// Whatever is missing of the fences that somebody began: those that stand first, then those of which
/// there is most.
pub(super) fn halves(
    survey: &Survey<'_>,
    workloads: &[Workload<'_>],
    standing: &[Fence],
    now: AxisNsec,
) -> Vec<Change> {
    let models: Vec<(&Workload<'_>, &Rules)> =
        workloads.iter().filter_map(|workload| Some((workload, workload.told()?))).collect();
    let mut fences: BTreeSet<Fence> = models.iter().flat_map(|(_, rules)| Fence::asked_for(rules)).collect();
    fences.extend(survey.machines.iter().flatten().flat_map(|machine| Fence::tainting(machine)));
    // Many pods say the same: one of each is enough.
    let owned =
        survey.pods.iter().filter(|pod| pod.role != Role::Model && pod.is_owned() && !pod.is_daemon());
    let owned: BTreeSet<&Rules> = owned.filter_map(|pod| pod.rules).collect();
    let others = survey.pods.iter().filter(|pod| pod.role != Role::Model && pod.is_movable());
    let mut others: Vec<(&Rules, &Pod<'_>)> = others.filter_map(|pod| Some((pod.rules?, pod))).collect();
    // The last of its like stands for all: one that is a workload's, where there is one.
    others.sort_by_key(|(_, pod)| pod.is_owned());
    let others: BTreeMap<&Rules, &Pod<'_>> = others.into_iter().collect();
    let is_theirs = |fence: &&Fence| !fence.key.contains('/') && fence.key != CRITICAL_ADDONS;
    let begun = fences.iter().filter(is_theirs).map(|fence| Begun {
        survey,
        fence,
        models: &models,
        owned: &owned,
        others: &others,
    });
    let mut begun: Vec<Begun<'_>> = begun.filter(|begun| !begun.is_shared()).collect();
    begun.sort_by_key(|begun| Reverse((standing.contains(begun.fence), begun.parts())));
    let found = begun.iter().flat_map(|begun| {
        let found = [begun.unlabelled(), begun.untainted(), begun.unbound()];
        found.map(|half| half.and_then(|half| begun.complete(half, now)))
    });
    found.flatten().collect()
}

/// A fence, or a part of one, and everybody of whom we know what they say about nodes.
struct Begun<'a> {
    survey: &'a Survey<'a>,
    fence: &'a Fence,
    models: &'a [(&'a Workload<'a>, &'a Rules)],
    /// What the pods of other workloads say, those of the system included.
    owned: &'a BTreeSet<&'a Rules>,
    /// Pods that are no models and could run elsewhere.
    others: &'a BTreeMap<&'a Rules, &'a Pod<'a>>,
}

/// What is missing of it, where and for whom.
struct Half<'a> {
    code: &'static str,
    title: String,
    why: String,
    nodes: Vec<usize>,
    models: Vec<&'a Workload<'a>>,
}

impl<'a> Begun<'a> {
    /// Others name it too. A bare pod, as one started by hand to look around, decides nothing.
    fn is_shared(&self) -> bool {
        let names = |rules: &Rules| self.fence.attracts(rules) || self.fence.is_named_by(rules);
        self.owned.iter().any(|rules| names(rules))
    }

    /// How many of label, taint, affinity and toleration there are.
    fn parts(&self) -> usize {
        let fence = self.fence;
        let machine =
            |is: &dyn Fn(&Machine) -> bool| self.survey.machines.iter().flatten().any(|one| is(one));
        let model = |is: &dyn Fn(&Rules) -> bool| self.models.iter().any(|(_, rules)| is(rules));
        let parts = [
            machine(&|machine| fence.is_label_of(machine)),
            machine(&|machine| fence.is_taint_of(machine)),
            model(&|rules| fence.attracts(rules)),
            model(&|rules| fence.is_named_by(rules)),
        ];
        parts.into_iter().filter(|part| *part).count()
    }

    fn models(&self, is: impl Fn(&Rules) -> bool) -> Vec<(&'a Workload<'a>, &'a Rules)> {
        self.models.iter().copied().filter(|(_, rules)| is(rules)).collect()
    }

    /// Nodes that bear the fence, or could.
    fn nodes(&self, is: impl Fn(&Machine) -> bool) -> Vec<usize> {
        self.survey.which(|machine| is(machine) && self.fence.fits(machine))
    }

    fn takes(&self, node: usize, rules: &Rules) -> bool {
        self.survey.machine(node).is_some_and(|machine| rules.admit(self.survey.node_name(node), machine))
    }

    /// The node, once it bears the fence.
    fn would_take(&self, node: usize, rules: &Rules) -> bool {
        let fenced = self.survey.machine(node).and_then(|machine| self.fence.around(machine));
        fenced.is_some_and(|machine| rules.admit(self.survey.node_name(node), &machine))
    }

    /// A node is kept free for models that cannot come.
    fn unlabelled(&self) -> Option<Half<'a>> {
        let (fence, names) = (self.fence, |nodes: &[usize]| self.survey.node_names(nodes));
        let nodes = self.nodes(|machine| fence.is_taint_of(machine) && !fence.is_label_of(machine));
        let wants = |rules: &Rules| {
            let would = |node: &usize| self.would_take(*node, rules);
            fence.is_named_by(rules) && fence.attracts(rules) && nodes.iter().any(would)
        };
        let models = self.models(wants);
        let (first, _) = models.first()?;
        Some(Half {
            code: NO_LABEL,
            title: format!("label {} as the models ask for it: {}", names(&nodes), fence.label()),
            why: format!(
                "{} tolerates {} of {}, but asks for the label {}, which is not there: others are kept off, and it \
                 cannot come",
                first.object,
                fence.taint(),
                names(&nodes),
                fence.label()
            ),
            models: models.into_iter().map(|(workload, _)| workload).collect(),
            nodes,
        })
    }

    /// Others may be placed beside the models. Not where somebody would have no other node: then the
    /// nodes are shared on purpose.
    fn untainted(&self) -> Option<Half<'a>> {
        let (fence, names) = (self.fence, |nodes: &[usize]| self.survey.node_names(nodes));
        let nodes = self.nodes(|machine| fence.is_label_of(machine) && !fence.is_taint_of(machine));
        let models = self.models(|rules| fence.attracts(rules));
        let (first, _) = models.first()?;
        let comes =
            |rules: &Rules| !fence.lets_in(rules) && nodes.iter().any(|node| self.takes(*node, rules));
        let elsewhere = self.survey.which(|machine| !fence.is_label_of(machine));
        let stuck = |rules: &Rules| comes(rules) && !elsewhere.iter().any(|node| self.takes(*node, rules));
        // Whose template is not known, as during a rollout, is not led past the taint.
        let is_patched = |pod: &Pod<'_>| models.iter().any(|(workload, _)| workload.object == pod.owner);
        let would_lose = |rules: &Rules| fence.attracts(rules) && !fence.lets_in(rules);
        let lost = |pod: &Pod<'_>| pod.rules.is_some_and(would_lose) && !is_patched(pod);
        if self.survey.pods.iter().any(|pod| pod.role == Role::Model && lost(pod)) {
            return None;
        }
        let (_, guest) = self.others.iter().find(|(rules, _)| comes(rules))?;
        let kept_off = self.models(|rules| !fence.attracts(rules)).into_iter().map(|(_, rules)| rules);
        if kept_off.chain(self.others.keys().copied()).any(stuck) {
            return None;
        }
        Some(Half {
            code: NO_TAINT,
            title: format!("keep other pods off {}", names(&nodes)),
            why: format!(
                "{} asks for the label {} of {}, which bears no taint: {} may be placed there too",
                first.object,
                fence.label(),
                names(&nodes),
                guest.owner
            ),
            models: models.into_iter().map(|(workload, _)| workload).collect(),
            nodes,
        })
    }

    /// Models may be placed outside.
    fn unbound(&self) -> Option<Half<'a>> {
        let (fence, names) = (self.fence, |nodes: &[usize]| self.survey.node_names(nodes));
        let nodes = self.nodes(|machine| fence.is_taint_of(machine));
        let outside = self.survey.which(|machine| !fence.is_taint_of(machine));
        let strays = |rules: &Rules| {
            let would = |node: &usize| self.would_take(*node, rules);
            let takes = |node: &usize| self.takes(*node, rules);
            let named = fence.is_named_by(rules) && !fence.attracts(rules);
            named && nodes.iter().any(would) && outside.iter().any(takes)
        };
        let models = self.models(strays);
        let (first, _) = models.first()?;
        Some(Half {
            code: NO_AFFINITY,
            title: format!("keep the models on {}", names(&nodes)),
            why: format!(
                "{} tolerates {} of {}, but nothing keeps it there: its pods may be placed on {}",
                first.object,
                fence.taint(),
                names(&nodes),
                names(&outside)
            ),
            models: models.into_iter().map(|(workload, _)| workload).collect(),
            nodes,
        })
    }

    /// Nothing where a step of it is a person's to find out.
    fn complete(&self, half: Half<'a>, now: AxisNsec) -> Option<Change> {
        let (survey, fence) = (self.survey, self.fence);
        if half.models.iter().any(|workload| workload.edits(fence).is_none()) {
            return None;
        }
        let mut assumptions = match half.code {
            NO_LABEL => Vec::new(),
            NO_TAINT => vec![
                "what is kept off has room on the other nodes that take it".to_owned(),
                "what runs there already is left to end: the taint moves nothing".to_owned(),
            ],
            _ => vec![format!("there is room for the models on {}", survey.node_names(&half.nodes))],
        };
        if half.code == NO_TAINT {
            assumptions.extend(daemons(survey, &half.nodes, fence));
        }
        assumptions.extend(templates(&patched(half.models.iter().copied(), fence)));
        let models: Vec<ObjectRef> = half.models.iter().map(|workload| workload.object.clone()).collect();
        let target = models.first()?.clone();
        let dedication = Dedication {
            fence,
            nodes: half.nodes.iter().map(|node| (survey.node_name(*node), survey.machine(*node))).collect(),
            models: half.models,
            in_the_way: Vec::new(),
        };
        let actions = dedication.actions();
        let advice = Advice {
            id: Advice::id_of(half.code, &target, &actions),
            code: half.code,
            title: half.title,
            why: half.why,
            target,
            actions,
            // A label on a node that is kept free moves nobody.
            proof: if half.code == NO_LABEL { Proof::Exact } else { Proof::Unproven },
            assumptions,
            evidence: Vec::new(),
            episodes: Vec::new(),
            created: now,
        };
        Some(Change { advice, fence: fence.clone(), nodes: half.nodes, models })
    }
}
