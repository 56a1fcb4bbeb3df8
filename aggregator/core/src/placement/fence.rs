//! A fence: the label that draws models to their nodes, and the taint that keeps everybody else off.
//!
//! Each alone does half: label and affinity repel nobody, taint and toleration attract nobody. Both
//! bear one key and one value, so that a person sees that they belong together. Deliberately absent:
//! `NoExecute` of our own, which would end what runs.

use std::collections::BTreeSet;

use crate::{
    placement::{survey::Survey, workload::Workload},
    scheduling::{Affinity, Machine, NO_SCHEDULE, Requirement, Rules, Taint, Term, Toleration},
};

/// How nodes for the models are marked, as the guide for model scaling has it: the key of label and
/// taint.
pub const KEY: &str = "node_for";
const VALUE: &str = "models";

/// Label and taint of the same key and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fence {
    pub(super) key: String,
    pub(super) value: String,
}

impl Default for Fence {
    fn default() -> Self {
        Self { key: KEY.to_owned(), value: VALUE.to_owned() }
    }
}

impl Fence {
    /// Those that stand: a label and a taint of one key and value on some node, to which models of a
    /// workload keep. The guide's is the first of them.
    pub(super) fn standing(survey: &Survey<'_>, workloads: &[Workload<'_>]) -> Vec<Self> {
        let stands = |fence: &Self| {
            let mut machines = survey.machines.iter().flatten();
            workloads.iter().any(|workload| workload.is_held(fence))
                && machines.any(|machine| fence.is_label_of(machine) && fence.is_taint_of(machine))
        };
        let tainting: BTreeSet<Self> =
            survey.machines.iter().flatten().flat_map(|machine| Self::tainting(machine)).collect();
        let others = tainting.into_iter().filter(|fence| *fence != Self::default());
        std::iter::once(Self::default()).chain(others).filter(stands).collect()
    }

    /// The one for a workload: that of those that stand to which it keeps, else the first of them, else
    /// the guide's.
    pub(super) fn of(standing: &[Self], workload: Option<&Workload<'_>>) -> Self {
        let holds = |fence: &&Self| workload.is_some_and(|workload| workload.is_held(fence));
        standing.iter().find(holds).or(standing.first()).cloned().unwrap_or_default()
    }

    /// Those that the taints of a node begin.
    pub(super) fn tainting(machine: &Machine) -> impl Iterator<Item = Self> {
        let taints = machine.taints.iter().filter(|taint| taint.keeps_off());
        taints.map(|taint| Self { key: taint.key.clone(), value: taint.value.clone() })
    }

    /// Those that a pod begins which asks for labels.
    pub(super) fn asked_for(rules: &Rules) -> Vec<Self> {
        let pair = |key: &String, value: &str| Self { key: key.clone(), value: value.to_owned() };
        let selected = rules.node_selector.iter().map(|(key, value)| pair(key, value));
        let terms = match &rules.affinity {
            Affinity::Absent | Affinity::OfPods | Affinity::Preferred => [].as_slice(),
            Affinity::Required(terms) => terms,
        };
        let expressions = terms.iter().flat_map(|term| &term.expressions);
        let named = expressions.filter_map(|one| Some(pair(&one.key, one.only()?)));
        selected.chain(named).filter(|fence| fence.attracts(rules)).collect()
    }

    /// The label, as kubectl writes it.
    pub(super) fn label(&self) -> String {
        format!("{}={}", self.key, self.value)
    }

    /// The taint, as kubectl writes it.
    pub(super) fn taint(&self) -> String {
        format!("{}:{NO_SCHEDULE}", self.label())
    }

    /// The node bears the label.
    pub(super) fn is_label_of(&self, machine: &Machine) -> bool {
        machine.labels.get(&self.key) == Some(&self.value)
    }

    /// The node bears the taint.
    pub(super) fn is_taint_of(&self, machine: &Machine) -> bool {
        machine.taints.iter().any(|taint| self.is(taint))
    }

    /// The taint is of this key and value; `NoExecute` keeps others off as well.
    pub(super) fn is(&self, taint: &Taint) -> bool {
        (&taint.key, &taint.value) == (&self.key, &self.value) && taint.keeps_off()
    }

    /// The node bears the fence, or can: no other label or taint of the key is in the way, which kubectl
    /// does not overwrite.
    pub(super) fn fits(&self, machine: &Machine) -> bool {
        let other =
            |taint: &Taint| taint.key == self.key && taint.value != self.value && taint.effect == NO_SCHEDULE;
        machine.labels.get(&self.key).is_none_or(|value| *value == self.value)
            && !machine.taints.iter().any(other)
    }

    /// The node once it bears the fence, as models see it that tolerate the taint.
    pub(super) fn around(&self, machine: &Machine) -> Option<Machine> {
        if !self.fits(machine) {
            return None;
        }
        let mut machine = machine.clone();
        machine.labels.insert(self.key.clone(), self.value.clone());
        machine.taints.retain(|taint| *taint != self.taint_itself());
        Some(machine)
    }

    /// A pod with these rules is placed on nodes with the label only, and may be there.
    pub(super) fn holds(&self, rules: &Rules) -> bool {
        self.attracts(rules) && self.lets_in(rules)
    }

    /// A pod with these rules is placed on nodes with the label only.
    pub(super) fn attracts(&self, rules: &Rules) -> bool {
        let by_term = || match &rules.affinity {
            Affinity::Absent | Affinity::OfPods | Affinity::Preferred => false,
            Affinity::Required(terms) => terms.iter().all(|term| term.is_empty() || self.is_in(term)),
        };
        rules.node_selector.get(&self.key) == Some(&self.value) || by_term()
    }

    /// A toleration names the taint, so that somebody meant it.
    pub(super) fn is_named_by(&self, rules: &Rules) -> bool {
        let taint = self.taint_itself();
        rules.tolerations.iter().any(|toleration| toleration.key == self.key && toleration.tolerates(&taint))
    }

    /// The taint does not keep a pod with these rules off.
    pub(super) fn lets_in(&self, rules: &Rules) -> bool {
        rules.tolerate(&self.taint_itself())
    }

    /// These rules with what they must say beside to be held.
    pub(super) fn holding(&self, rules: &Rules) -> Rules {
        let tolerations = if self.lets_in(rules) {
            rules.tolerations.clone()
        } else {
            rules.own_tolerations().iter().cloned().chain([self.toleration()]).collect()
        };
        let affinity =
            if self.attracts(rules) { rules.affinity.clone() } else { self.drawn(&rules.affinity) };
        Rules { tolerations, affinity, node_selector: rules.node_selector.clone() }
    }

    /// This affinity, asking for the label too. Terms are alternatives, so each of them must ask for the
    /// label. One that says nothing matches nothing, and would match if it said something.
    pub(super) fn drawn(&self, affinity: &Affinity) -> Affinity {
        let ask = self.ask();
        Affinity::Required(match affinity {
            Affinity::Absent | Affinity::OfPods | Affinity::Preferred => {
                vec![Term { expressions: vec![ask], fields: Vec::new() }]
            }
            Affinity::Required(terms) => {
                let join = |term: &Term| {
                    let mut term = term.clone();
                    if !term.is_empty() && !self.is_in(&term) {
                        term.expressions.push(ask.clone());
                    }
                    term
                };
                terms.iter().map(join).collect()
            }
        })
    }

    /// What a term must say to ask for the label.
    pub(super) fn ask(&self) -> Requirement {
        Requirement { key: self.key.clone(), operator: "In".to_owned(), values: vec![self.value.clone()] }
    }

    fn toleration(&self) -> Toleration {
        Toleration {
            effect: NO_SCHEDULE.to_owned(),
            key: self.key.clone(),
            operator: "Equal".to_owned(),
            seconds: None,
            value: self.value.clone(),
        }
    }

    fn is_in(&self, term: &Term) -> bool {
        term.expressions.iter().any(|one| one.key == self.key && one.only() == Some(self.value.as_str()))
    }

    fn taint_itself(&self) -> Taint {
        Taint { key: self.key.clone(), value: self.value.clone(), effect: NO_SCHEDULE.to_owned() }
    }
}
