//! Reads a placement again and says whether it holds, sharing only types with the search for it.

use crate::placement::{
    assign::{Assignment, Problem},
    survey::Room,
};

/// Every pod has one place, the models on their nodes and nothing else there, and no node is overfull.
pub(super) fn holds(problem: &Problem, assignment: &Assignment) -> bool {
    let all = || {
        let models = problem.models.iter().map(|item| (item, true));
        models.chain(problem.others.iter().map(|item| (item, false)))
    };
    let place_of = |pod| {
        let mut places = assignment.places.iter().filter(|(placed, _)| *placed == pod);
        places.next().filter(|_| places.next().is_none()).map(|(_, node)| *node)
    };
    let apart = all().all(|(item, is_model)| {
        place_of(item.pod).is_some_and(|node| assignment.nodes.contains(&node) == is_model)
    });
    let fits = problem.room.iter().enumerate().all(|(node, room)| {
        let here = all().filter(|(item, _)| place_of(item.pod) == Some(node));
        let sum = here.fold(Room::default(), |sum, (item, _)| sum.and(item.need));
        sum.cpu <= room.cpu && sum.memory <= room.memory
    });
    let known = assignment.nodes.iter().all(|node| *node < problem.room.len());
    known && !assignment.nodes.is_empty() && apart && fits
}
