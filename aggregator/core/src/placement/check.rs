//! Reads a placement again and says whether it holds, sharing only types with the search for it.

use std::collections::BTreeMap;

use crate::placement::{
    assign::{Assignment, Problem},
    survey::Room,
};

/// Every pod has one place that it may use, the models on their nodes and nothing else there, no node is
/// overfull, and no node that is the models' already is given up.
pub(super) fn holds(problem: &Problem, assignment: &Assignment) -> bool {
    let places: BTreeMap<usize, usize> = assignment.places.iter().copied().collect();
    let once = places.len() == assignment.places.len();
    let mut used = vec![Room::default(); problem.room.len()];
    let models = problem.models.iter().map(|item| (item, true));
    let mut all = models.chain(problem.others.iter().map(|item| (item, false)));
    let apart = all.all(|(item, is_model)| {
        let Some(node) = places.get(&item.pod) else { return false };
        let Some(room) = used.get_mut(*node) else { return false };
        *room = room.and(item.need);
        let may = problem.may.get(item.may).and_then(|may| may.get(*node));
        may == Some(&true) && assignment.nodes.binary_search(node).is_ok() == is_model
    });
    let fits =
        problem.room.iter().zip(&used).all(|(room, used)| used.cpu <= room.cpu && used.memory <= room.memory);
    let kept = problem.marked.iter().all(|node| assignment.nodes.contains(node));
    !assignment.nodes.is_empty() && once && apart && fits && kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        placement::assign::Item,
        sizing::{CpuMilli, MemoryBytes},
    };

    fn room(cpu: u64) -> Room {
        Room { cpu: CpuMilli(cpu), memory: MemoryBytes(cpu) }
    }

    #[test]
    fn a_placement_that_breaks_a_rule_is_refused() {
        let item = |pod, need| Item { pod, node: 0, need: room(need), may: 0 };
        let problem = || Problem {
            room: vec![room(100), room(100)],
            may: vec![vec![true, true]],
            marked: Vec::new(),
            models: vec![item(0, 60), item(1, 40)],
            others: vec![item(2, 100)],
        };
        let assignment = |nodes: &[usize], places: &[(usize, usize)]| Assignment {
            nodes: nodes.to_vec(),
            places: places.to_vec(),
        };
        let good = assignment(&[0], &[(0, 0), (1, 0), (2, 1)]);
        assert!(holds(&problem(), &good));
        for (why, nodes, places) in [
            ("a scanner with the models", vec![0], vec![(0, 0), (1, 0), (2, 0)]),
            ("a model among the scanners", vec![0], vec![(0, 0), (1, 1), (2, 1)]),
            ("a pod without a place", vec![0], vec![(0, 0), (2, 1)]),
            ("a pod in two places", vec![0], vec![(0, 0), (0, 0), (1, 0), (2, 1)]),
            ("too much on a node", vec![0, 1], vec![(0, 0), (1, 1), (2, 1)]),
            ("a node that is not there", vec![0, 7], vec![(0, 0), (1, 7), (2, 1)]),
            ("no node", vec![], vec![(0, 0), (1, 0), (2, 1)]),
        ] {
            assert!(!holds(&problem(), &assignment(&nodes, &places)), "{why}");
        }
        for (why, problem) in [
            ("an overfull node", Problem { models: vec![item(0, 61), item(1, 40)], ..problem() }),
            ("a node that pods may not use", Problem { may: vec![vec![true, false]], ..problem() }),
            ("a node of the models that is given up", Problem { marked: vec![1], ..problem() }),
        ] {
            assert!(!holds(&problem, &good), "{why}");
        }
    }
}
