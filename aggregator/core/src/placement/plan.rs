//! Where everything would go: what is to be placed, which nodes each pod may use, and the best set.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    advice::ObjectRef,
    placement::{
        assign::{Assignment, Item, Problem, assign},
        check,
        fence::Fence,
        survey::{Pod, Survey},
        workload::Workload,
    },
    scheduling::{Machine, Rules},
    sizing::CpuMilli,
    who::Role,
};

/// Where everything would go.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The models' own, rising.
    pub(super) nodes: Vec<usize>,
    /// All of it fits, and was checked.
    pub(super) proven: bool,
    /// It fits only where what is kept apart takes the CPU time that is left.
    pub(super) squeezed: bool,
    pub(super) models: Vec<&'a Pod<'a>>,
    /// What is kept away from the models.
    pub(super) apart: Vec<&'a Pod<'a>>,
    pub(super) models_moved: usize,
    /// Models that no node takes.
    pub(super) homeless: Vec<&'a Pod<'a>>,
}

impl<'a> Plan<'a> {
    /// For these workloads' models, apart from scanners and from the culprits.
    pub(super) fn new(
        survey: &'a Survey<'a>,
        workloads: &[Workload<'_>],
        culprits: &BTreeSet<ObjectRef>,
        fence: &Fence,
    ) -> Self {
        let problem = problem(survey, workloads, culprits, fence);
        let (found, proven, squeezed) = solve(&problem);
        let Assignment { nodes, places } = found.unwrap_or_default();
        let places: BTreeMap<usize, usize> = places.into_iter().collect();
        let pod = |item: &Item| survey.pods.get(item.pod);
        let moves = |item: &&Item| places.get(&item.pod).is_some_and(|node| *node != item.node);
        Self {
            proven,
            squeezed,
            models: problem.models.iter().filter_map(pod).collect(),
            apart: problem.others.iter().filter_map(pod).collect(),
            models_moved: problem.models.iter().filter(moves).count(),
            homeless: problem
                .models
                .iter()
                .filter(|item| problem.usable(item).next().is_none())
                .filter_map(pod)
                .collect(),
            nodes,
        }
    }

    pub(super) fn in_the_way(&self) -> impl Iterator<Item = &'a Pod<'a>> {
        self.apart.iter().copied().filter(|pod| self.nodes.contains(&pod.node))
    }
}

/// It is kept away from the models: what scans, and what was seen to hurt them.
pub(super) fn is_apart(pod: &Pod<'_>, culprits: &BTreeSet<ObjectRef>) -> bool {
    pod.role != Role::Model
        && pod.is_movable()
        && (pod.role == Role::Scanner || culprits.contains(&pod.owner))
}

/// Nodes that bear the fence's label or taint: they are the models' already.
pub(super) fn marked(survey: &Survey<'_>, fence: &Fence) -> Vec<usize> {
    survey.which(|machine| fence.is_label_of(machine) || fence.is_taint_of(machine))
}

fn problem<'a>(
    survey: &'a Survey<'a>,
    workloads: &[Workload<'_>],
    culprits: &BTreeSet<ObjectRef>,
    fence: &Fence,
) -> Problem {
    let models_of: BTreeSet<&ObjectRef> = workloads.iter().map(|workload| &workload.object).collect();
    let mut room = survey.capacity.clone();
    let mut leave = Leave::new(survey, fence);
    let (mut models, mut others) = (Vec::new(), Vec::new());
    for (at, pod) in survey.pods.iter().enumerate() {
        let is_model = pod.role == Role::Model && models_of.contains(&pod.owner);
        if is_model || is_apart(pod, culprits) {
            let item = Item { pod: at, node: pod.node, need: pod.need, may: leave.of(is_model, pod.rules) };
            if is_model { &mut models } else { &mut others }.push(item);
        } else if let Some(left) = room.get_mut(pod.node) {
            *left = left.less(pod.need).unwrap_or_default();
        }
    }
    Problem { room, may: leave.sets, marked: marked(survey, fence), models, others }
}

/// The best that is found, whether all has a place in it, and whether only with less CPU time.
fn solve(problem: &Problem) -> (Option<Assignment>, bool, bool) {
    let checked = |problem: &Problem| assign(problem).filter(|found| check::holds(problem, found));
    if let Some(found) = checked(problem) {
        return (Some(found), true, false);
    }
    // Batch work needs its memory, and is only slower with less CPU time than it could take.
    let mut problem = problem.clone();
    problem.others.iter_mut().for_each(|other| other.need.cpu = CpuMilli::default());
    if let Some(found) = checked(&problem) {
        return (Some(found), true, true);
    }
    problem.others.clear();
    (checked(&problem), false, true)
}

/// Which nodes pods may use, worked out once for all that say the same.
struct Leave<'a> {
    survey: &'a Survey<'a>,
    fence: &'a Fence,
    /// The nodes as models see them that keep to the fence; `None` for those that cannot bear it.
    fenced: Vec<Option<Machine>>,
    known: BTreeMap<(bool, Option<&'a Rules>), usize>,
    sets: Vec<Vec<bool>>,
}

impl<'a> Leave<'a> {
    fn new(survey: &'a Survey<'a>, fence: &'a Fence) -> Self {
        let fenced = survey.machines.iter().map(|machine| machine.and_then(|machine| fence.around(machine)));
        Self { survey, fence, fenced: fenced.collect(), known: BTreeMap::new(), sets: Vec::new() }
    }

    fn of(&mut self, is_model: bool, rules: Option<&'a Rules>) -> usize {
        if let Some(known) = self.known.get(&(is_model, rules)) {
            return *known;
        }
        let nodes = self.survey.nodes.iter().zip(&self.survey.machines).zip(&self.fenced);
        let set = nodes.map(|((name, machine), fenced)| match (machine, rules) {
            (None, _) => true,
            (Some(machine), None) => self.takes_any(machine),
            (Some(_), Some(rules)) if is_model => {
                fenced.as_ref().is_some_and(|fenced| rules.admit(name, fenced))
            }
            (Some(machine), Some(rules)) => rules.admit(name, machine),
        });
        let set = set.collect();
        self.sets.push(set);
        self.known.insert((is_model, rules), self.sets.len() - 1);
        self.sets.len() - 1
    }

    /// Of a pod of which nothing is known it is taken that it tolerates the fence's taint and no other.
    fn takes_any(&self, machine: &Machine) -> bool {
        let mut against = machine.taints.iter().filter(|taint| taint.keeps_off());
        !machine.cordoned && against.all(|taint| self.fence.is(taint))
    }
}
