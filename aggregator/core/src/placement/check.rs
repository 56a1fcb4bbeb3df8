//! Reads a placement again and says whether it holds, sharing only types with the search for it.

use std::collections::BTreeMap;

use crate::placement::{
    assign::{Assignment, Problem},
    survey::Room,
};

/// Every pod has one place, the models on their nodes and nothing else there, and no node is overfull.
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
        assignment.nodes.binary_search(node).is_ok() == is_model
    });
    let fits =
        problem.room.iter().zip(&used).all(|(room, used)| used.cpu <= room.cpu && used.memory <= room.memory);
    !assignment.nodes.is_empty() && once && apart && fits
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
        let item = |pod, need| Item { pod, node: 0, need: room(need) };
        let problem = Problem {
            room: vec![room(100), room(100)],
            models: vec![item(0, 60), item(1, 40)],
            others: vec![item(2, 100)],
        };
        let holds = |nodes: &[usize], places: &[(usize, usize)]| {
            holds(&problem, &Assignment { nodes: nodes.to_vec(), places: places.to_vec() })
        };
        assert!(holds(&[0], &[(0, 0), (1, 0), (2, 1)]));
        for (why, nodes, places) in [
            ("a scanner with the models", vec![0], vec![(0, 0), (1, 0), (2, 0)]),
            ("a model among the scanners", vec![0], vec![(0, 0), (1, 1), (2, 1)]),
            ("a pod without a place", vec![0], vec![(0, 0), (2, 1)]),
            ("a pod in two places", vec![0], vec![(0, 0), (0, 0), (1, 0), (2, 1)]),
            ("too much on a node", vec![0, 1], vec![(0, 0), (1, 1), (2, 1)]),
            ("a node that is not there", vec![0, 7], vec![(0, 0), (1, 7), (2, 1)]),
            ("no node", vec![], vec![(0, 0), (1, 0), (2, 1)]),
        ] {
            assert!(!holds(&nodes, &places), "{why}");
        }
        let overfull = Problem { models: vec![item(0, 61), item(1, 40)], ..problem };
        let places = vec![(0, 0), (1, 0), (2, 1)];
        assert!(!super::holds(&overfull, &Assignment { nodes: vec![0], places }));
    }
}
