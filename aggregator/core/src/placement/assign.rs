//! Which nodes the models get, so that they and what is moved away from them both fit.
//!
//! Fewest nodes first, then fewest models that change nodes, then fewest others. Up to
//! [`EXACT_NODES_AT_MOST`] nodes every set is tried in that order; within a set pods are packed
//! largest first, which may miss a fit that exists but never claims one that does not.

use std::cmp::Reverse;

use crate::placement::survey::Room;

/// 4096 sets of nodes, each packed in microseconds.
const EXACT_NODES_AT_MOST: usize = 12;

/// A pod to place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Its place in the survey.
    pub(super) pod: usize,
    pub(super) node: usize,
    pub(super) need: Room,
}

/// What is to be placed, and where there is room.
#[derive(Debug)]
pub(super) struct Problem {
    /// By node, without what stays there anyway.
    pub(super) room: Vec<Room>,
    pub(super) models: Vec<Item>,
    /// Kept away from the models.
    pub(super) others: Vec<Item>,
}

/// A set of nodes for the models, and a place for each pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The models' own, rising.
    pub(super) nodes: Vec<usize>,
    /// Pod and node, in no order.
    pub(super) places: Vec<(usize, usize)>,
}

/// The best set that fits, if one is found.
pub(super) fn assign(problem: &Problem) -> Option<Assignment> {
    let count = problem.room.len();
    let mut sets: Vec<Vec<usize>> =
        if count <= EXACT_NODES_AT_MOST { all_sets(count) } else { prefixes(problem) };
    sets.sort_by_key(|set| cost(problem, set));
    sets.into_iter().find_map(|nodes| place(problem, nodes))
}

/// Nodes, models that move, others that move, and last the order of the nodes.
fn cost(problem: &Problem, set: &[usize]) -> (usize, usize, usize, Vec<usize>) {
    let models = problem.models.iter().filter(|item| !set.contains(&item.node)).count();
    let others = problem.others.iter().filter(|item| set.contains(&item.node)).count();
    (set.len(), models, others, set.to_vec())
}

fn all_sets(count: usize) -> Vec<Vec<usize>> {
    let mut sets = vec![Vec::new()];
    for node in 0..count {
        let with: Vec<Vec<usize>> = sets.iter().map(|set| [set.as_slice(), &[node]].concat()).collect();
        sets.extend(with);
    }
    sets.retain(|set| !set.is_empty());
    sets
}

/// Of many nodes, those with most models and fewest others first, one more at a time.
fn prefixes(problem: &Problem) -> Vec<Vec<usize>> {
    let on = |items: &[Item], node| items.iter().filter(|item| item.node == node).count();
    let mut nodes: Vec<usize> = (0..problem.room.len()).collect();
    nodes.sort_by_key(|node| (Reverse(on(&problem.models, *node)), on(&problem.others, *node), *node));
    let prefix = |length| {
        let mut set: Vec<usize> = nodes.iter().take(length).copied().collect();
        set.sort_unstable();
        set
    };
    (1..=nodes.len()).map(prefix).collect()
}

fn place(problem: &Problem, nodes: Vec<usize>) -> Option<Assignment> {
    let side = |for_models: bool| {
        let allowed = |(node, room): (usize, &Room)| (nodes.contains(&node) == for_models).then_some(*room);
        problem.room.iter().enumerate().map(allowed).collect::<Vec<_>>()
    };
    let mut places = pack(&problem.models, &side(true))?;
    places.extend(pack(&problem.others, &side(false))?);
    Some(Assignment { nodes, places })
}

/// Leaves pods where they are if that fits, and moves everything if only that does.
fn pack(items: &[Item], room: &[Option<Room>]) -> Option<Vec<(usize, usize)>> {
    fill(items, room, |item, room| room.get(item.node).is_some_and(Option::is_some))
        .or_else(|| fill(items, room, |_, _| false))
}

/// Those that `stay` first, then the rest; largest first, each into the first node with room.
fn fill(
    items: &[Item],
    room: &[Option<Room>],
    stays: impl Fn(&Item, &[Option<Room>]) -> bool,
) -> Option<Vec<(usize, usize)>> {
    let mut left = room.to_vec();
    let mut order: Vec<(bool, &Item)> = items.iter().map(|item| (stays(item, room), item)).collect();
    order.sort_by_key(|(stays, item)| (!stays, Reverse(item.need.cpu), Reverse(item.need.memory), item.pod));
    let mut places = Vec::new();
    for (stays, item) in order {
        let into = (0..left.len()).filter(|node| !stays || *node == item.node);
        let fits = |node: usize| Some((node, left.get(node).copied().flatten()?.less(item.need)?));
        let (node, rest) = into.into_iter().find_map(fits)?;
        *left.get_mut(node)? = Some(rest);
        places.push((item.pod, node));
    }
    Some(places)
}
