//! Which nodes the models get, so that they and what is moved away from them both fit.
//!
//! Fewest nodes first, then fewest models that change nodes, then fewest others. Of few nodes every set
//! is tried in that order, of many only the likeliest. Within a set pods are packed largest first, which
//! may miss a fit that exists but never claims one that does not.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::placement::survey::Room;

/// 4096 sets of nodes, each packed in microseconds.
const EXACT_NODES_AT_MOST: usize = 12;

/// Of more nodes: this many sets, from the smallest that could hold the models by its sum. Where so
/// many fail, what is to be moved away has no room, and more nodes for the models leave it less.
const LIKELY_SETS: usize = 64;

/// A pod to place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Its place in the survey.
    pub(super) pod: usize,
    pub(super) node: usize,
    pub(super) need: Room,
    /// Which nodes it may use: its place in the problem's.
    pub(super) may: usize,
}

/// What is to be placed, and where there is room.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// By node, without what stays there anyway.
    pub(super) room: Vec<Room>,
    /// Sets of nodes that pods may use, each by node.
    pub(super) may: Vec<Vec<bool>>,
    /// Nodes that are the models' already.
    pub(super) marked: Vec<usize>,
    pub(super) models: Vec<Item>,
    /// Kept away from the models.
    pub(super) others: Vec<Item>,
}

impl Problem {
    fn may(&self, item: &Item, node: usize) -> bool {
        self.may.get(item.may).and_then(|may| may.get(node)).copied().unwrap_or(false)
    }

    /// The nodes that a pod may use.
    pub(super) fn usable(&self, item: &Item) -> impl Iterator<Item = usize> {
        (0..self.room.len()).filter(|node| self.may(item, *node))
    }

    /// Nodes that could be the models', rising.
    fn candidates(&self) -> Vec<usize> {
        let of_models: BTreeSet<usize> = self.models.iter().map(|item| item.may).collect();
        let open = |node: &usize| {
            let mut may = of_models.iter().filter_map(|may| self.may.get(*may));
            may.any(|may| may.get(*node) == Some(&true))
        };
        (0..self.room.len()).filter(|node| self.marked.contains(node) || open(node)).collect()
    }
}

/// A set of nodes for the models, and a place for each pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The models' own, rising.
    pub(super) nodes: Vec<usize>,
    /// Pod and node, in no order.
    pub(super) places: Vec<(usize, usize)>,
}

/// The best set that fits, if one is found.
pub(super) fn assign(problem: &Problem) -> Option<Assignment> {
    let candidates = problem.candidates();
    let few = candidates.len() <= EXACT_NODES_AT_MOST;
    let sets = if few { all_sets(problem, &candidates) } else { likely_sets(problem, candidates) };
    sets.into_iter().find_map(|nodes| place(problem, nodes))
}

fn all_sets(problem: &Problem, candidates: &[usize]) -> Vec<Vec<usize>> {
    let mut sets = vec![Vec::new()];
    for node in candidates {
        let with: Vec<Vec<usize>> = sets.iter().map(|set| [set.as_slice(), &[*node]].concat()).collect();
        sets.extend(with);
    }
    sets.retain(|set| !set.is_empty() && problem.marked.iter().all(|node| set.contains(node)));
    sets.sort_by_cached_key(|set| {
        let models = problem.models.iter().filter(|item| !set.contains(&item.node)).count();
        let others = problem.others.iter().filter(|item| set.contains(&item.node)).count();
        (set.len(), models, others, set.clone())
    });
    sets
}

/// The nodes that are the models', then those with most models and fewest others, one more at a time.
fn likely_sets(problem: &Problem, mut nodes: Vec<usize>) -> Vec<Vec<usize>> {
    let mut counts = vec![(0_usize, 0_usize); problem.room.len()];
    for item in &problem.models {
        counts[item.node].0 += 1;
    }
    for item in &problem.others {
        counts[item.node].1 += 1;
    }
    let is_new = |node: &usize| !problem.marked.contains(node);
    nodes.sort_by_cached_key(|node| (is_new(node), Reverse(counts[*node].0), counts[*node].1, *node));
    let need = problem.models.iter().fold(Room::default(), |sum, item| sum.and(item.need));
    let mut sum = Room::default();
    let too_small = nodes.iter().take_while(|node| {
        sum = sum.and(problem.room[**node]);
        sum.less(need).is_none()
    });
    let least = (too_small.count() + 1).max(problem.marked.len());
    let prefix = |length: usize| {
        let mut set = nodes[..length].to_vec();
        set.sort_unstable();
        set
    };
    (least..=nodes.len()).take(LIKELY_SETS).map(prefix).collect()
}

fn place(problem: &Problem, nodes: Vec<usize>) -> Option<Assignment> {
    let side = |for_models: bool| -> Vec<Option<Room>> {
        let is_ours = |node: usize| nodes.binary_search(&node).is_ok() == for_models;
        problem.room.iter().enumerate().map(|(node, room)| is_ours(node).then_some(*room)).collect()
    };
    let mut places = pack(problem, &problem.models, &side(true))?;
    places.extend(pack(problem, &problem.others, &side(false))?);
    Some(Assignment { nodes, places })
}

/// Leaves pods where they are if that fits, and moves everything if only that does.
fn pack(problem: &Problem, items: &[Item], room: &[Option<Room>]) -> Option<Vec<(usize, usize)>> {
    fill(problem, items, room, true).or_else(|| fill(problem, items, room, false))
}

/// Those that may stay first, then those with the fewest nodes to choose from; the largest of them
/// first, each into the first node with room.
fn fill(problem: &Problem, items: &[Item], room: &[Option<Room>], stay: bool) -> Option<Vec<(usize, usize)>> {
    let mut left = room.to_vec();
    let is_ours = |node: usize| room.get(node).is_some_and(Option::is_some);
    let count = |may: &Vec<bool>| (0..).zip(may).filter(|(node, may)| **may && is_ours(*node)).count();
    let choices: Vec<usize> = problem.may.iter().map(count).collect();
    let stays = |item: &Item| stay && is_ours(item.node) && problem.may(item, item.node);
    let mut order: Vec<(bool, &Item)> = items.iter().map(|item| (stays(item), item)).collect();
    order.sort_by_key(|(stays, item)| {
        (!stays, choices.get(item.may), Reverse(item.need.cpu), Reverse(item.need.memory), item.pod)
    });
    let mut places = Vec::with_capacity(items.len());
    for (stays, item) in order {
        let mut into = if stays { item.node..item.node + 1 } else { 0..left.len() };
        let (node, rest) = into.find_map(|node| {
            let free = left.get(node).copied().flatten().filter(|_| problem.may(item, node))?;
            Some((node, free.less(item.need)?))
        })?;
        *left.get_mut(node)? = Some(rest);
        places.push((item.pod, node));
    }
    Some(places)
}
