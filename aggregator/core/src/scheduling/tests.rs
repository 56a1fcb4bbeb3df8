use super::*;

fn taint(text: &str) -> Taint {
    let (pair, effect) = text.split_once(':').expect("KEY=VALUE:EFFECT");
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() }
}

fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
    let [key, operator, value, effect] = [key, operator, value, effect].map(ToOwned::to_owned);
    Toleration { effect, key, operator, seconds: None, value }
}

fn tolerating(tolerations: Vec<Toleration>) -> Rules {
    Rules { tolerations, ..Rules::default() }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> Requirement {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Requirement { key: key.to_owned(), operator: operator.to_owned(), values }
}

fn expressions(all: &[Requirement]) -> Term {
    Term { expressions: all.to_vec(), fields: Vec::new() }
}

fn required(terms: Vec<Term>) -> Rules {
    Rules { affinity: Affinity::Required(terms), ..Rules::default() }
}

#[test]
fn t1_only_no_schedule_and_no_execute_keep_a_pod_off() {
    for (effect, off) in [("NoSchedule", true), ("NoExecute", true), ("PreferNoSchedule", false)] {
        let taints = [taint(&format!("node_for=models:{effect}"))];
        assert_eq!(Rules::default().repelled_by(&taints).is_some(), off, "{effect}");
    }
}

#[test]
fn t2_a_toleration_matches_by_effect_key_operator_and_value() {
    let no_schedule = "node_for=models:NoSchedule";
    for (toleration, against, tolerates) in [
        (toleration("node_for", "Equal", "models", "NoSchedule"), no_schedule, true),
        (toleration("node_for", "", "models", "NoSchedule"), no_schedule, true),
        (toleration("node_for", "", "models", ""), no_schedule, true),
        (toleration("node_for", "", "models", ""), "node_for=models:NoExecute", true),
        (toleration("node_for", "Equal", "models", "NoExecute"), no_schedule, false),
        (toleration("node_for", "Equal", "model", "NoSchedule"), no_schedule, false),
        (toleration("node_for", "Equal", "", "NoSchedule"), no_schedule, false),
        (toleration("node_for", "Equal", "", "NoSchedule"), "node_for:NoSchedule", true),
        (toleration("node_for", "Exists", "", "NoSchedule"), no_schedule, true),
        (toleration("node_for", "Exists", "else", ""), no_schedule, true),
        (toleration("pool", "Exists", "", ""), no_schedule, false),
        (toleration("", "Exists", "", ""), no_schedule, true),
        (toleration("", "Exists", "", "NoExecute"), no_schedule, false),
        (toleration("", "Equal", "models", ""), no_schedule, false),
        (toleration("", "", "", ""), ":NoSchedule", false),
        (toleration("level", "Gt", "5", ""), "level=7:NoSchedule", false),
        (toleration("level", "Lt", "9", ""), "level=7:NoSchedule", false),
    ] {
        assert_eq!(toleration.tolerates(&taint(against)), tolerates, "{toleration:?} {against}");
    }
}

#[test]
fn t4_the_first_taint_that_is_not_tolerated_is_told() {
    let taints = ["a:PreferNoSchedule", "b:NoSchedule", "c:NoExecute", "d:NoSchedule"].map(taint);
    assert_eq!(Rules::default().repelled_by(&taints), Some(&taints[1]));
    let b = tolerating(vec![toleration("b", "Exists", "", "")]);
    assert_eq!(b.repelled_by(&taints), Some(&taints[2]));
    let all = tolerating(vec![toleration("", "Exists", "", "")]);
    assert_eq!(all.repelled_by(&taints), None);
}

#[test]
fn t5_only_who_tolerates_unschedulable_is_placed_on_a_cordoned_node() {
    let cordoned = Machine { cordoned: true, ..Machine::default() };
    let key = "node.kubernetes.io/unschedulable";
    for (tolerations, admitted) in [
        (vec![], false),
        (vec![toleration(key, "Exists", "", "NoSchedule")], true),
        (vec![toleration("", "Exists", "", "")], true),
        (vec![toleration(key, "Exists", "", "NoExecute")], false),
    ] {
        assert_eq!(tolerating(tolerations).admit("n", &cordoned), admitted);
    }
}

#[test]
fn t6_what_the_api_server_lets_every_pod_tolerate_is_not_the_templates() {
    let default = |key: &str| Toleration {
        seconds: Some(300),
        ..toleration(&format!("node.kubernetes.io/{key}"), "Exists", "", "NoExecute")
    };
    let own = toleration("node_for", "Exists", "", "");
    let shorter = Toleration { seconds: Some(60), ..default("not-ready") };
    for (written, given) in [
        (vec![], vec![default("not-ready"), default("unreachable")]),
        (vec![own.clone()], vec![default("not-ready"), default("unreachable")]),
        (vec![shorter, own], vec![default("unreachable")]),
        (vec![toleration("", "Exists", "", "")], vec![]),
    ] {
        let pod = tolerating([written.as_slice(), &given].concat());
        assert_eq!(pod.own_tolerations(), written);
    }
    let evicting = [taint("node.kubernetes.io/not-ready:NoExecute")];
    assert_eq!(tolerating(vec![default("not-ready")]).repelled_by(&evicting), None);
    assert!(Rules::default().repelled_by(&evicting).is_some());
}

#[test]
fn t7_a_daemons_automatic_tolerations_are_none_of_a_taint_for_models() {
    let automatic =
        |key: &str, effect| toleration(&format!("node.kubernetes.io/{key}"), "Exists", "", effect);
    let daemon = tolerating(vec![
        automatic("not-ready", "NoExecute"),
        automatic("unreachable", "NoExecute"),
        automatic("disk-pressure", "NoSchedule"),
        automatic("memory-pressure", "NoSchedule"),
        automatic("pid-pressure", "NoSchedule"),
        automatic("unschedulable", "NoSchedule"),
    ]);
    for (against, runs) in [
        ("node.kubernetes.io/not-ready:NoExecute", true),
        ("node.kubernetes.io/disk-pressure:NoSchedule", true),
        ("node_for=models:NoSchedule", false),
        ("node_for=models:NoExecute", false),
        ("node_for=models:PreferNoSchedule", true),
    ] {
        assert_eq!(daemon.repelled_by(&[taint(against)]).is_none(), runs, "{against}");
    }
    assert!(daemon.admit("n", &Machine { cordoned: true, ..Machine::default() }));
}

#[test]
fn a1_selector_and_one_of_the_terms_must_match() {
    let node = labels(&[("node_for", "models"), ("disk", "ssd")]);
    let (models, ssd) = (requirement("node_for", "In", &["models"]), requirement("disk", "In", &["ssd"]));
    let hdd = requirement("disk", "In", &["hdd"]);
    for (why, terms, selected) in [
        ("one term", vec![expressions(std::slice::from_ref(&models))], true),
        ("the second of two", vec![expressions(std::slice::from_ref(&hdd)), expressions(&[ssd])], true),
        ("half of a term", vec![expressions(&[models, hdd])], false),
        ("a term that says nothing", vec![Term::default()], false),
        ("no term", vec![], false),
    ] {
        assert_eq!(required(terms).select("n", &node), selected, "{why}");
    }
    for (selector, selected) in [
        (labels(&[]), true),
        (labels(&[("node_for", "models")]), true),
        (labels(&[("node_for", "models"), ("zone", "a")]), false),
        (labels(&[("zone", "")]), false),
    ] {
        let both = Rules {
            node_selector: selector.clone(),
            affinity: Affinity::Required(vec![expressions(&[requirement("disk", "Exists", &[])])]),
            ..Rules::default()
        };
        assert_eq!(both.select("n", &node), selected, "{selector:?}");
    }
    for affinity in [Affinity::Absent, Affinity::OfPods, Affinity::Preferred] {
        assert!(Rules { affinity, ..Rules::default() }.select("n", &node));
    }
}

#[test]
fn a2_a_label_that_is_not_there_is_not_in_any_list() {
    for (operator, values, there, other, absent) in [
        ("In", &["models"][..], true, false, false),
        ("In", &["load", "models"][..], true, true, false),
        ("NotIn", &["models"][..], false, true, true),
        ("Exists", &[][..], true, true, false),
        ("DoesNotExist", &[][..], false, false, true),
        ("In", &[][..], false, false, false),
        ("NotIn", &[][..], false, false, false),
        ("Exists", &["models"][..], false, false, false),
        ("DoesNotExist", &["models"][..], false, false, false),
        ("Near", &["models"][..], false, false, false),
        ("NotIn", &["no label's value"][..], false, false, false),
    ] {
        let rules = required(vec![expressions(&[requirement("node_for", operator, values)])]);
        let selects = |node: &[(&str, &str)]| rules.select("n", &labels(node));
        let seen = (selects(&[("node_for", "models")]), selects(&[("node_for", "load")]), selects(&[]));
        assert_eq!(seen, (there, other, absent), "{operator} {values:?}");
    }
}

#[test]
fn a3_numbers_are_compared_strictly_and_only_where_both_are_numbers() {
    for (operator, values, label, selected) in [
        ("Gt", &["4"][..], "5", true),
        ("Gt", &["5"][..], "5", false),
        ("Gt", &["9"][..], "10", true),
        ("Lt", &["5"][..], "4", true),
        ("Lt", &["5"][..], "5", false),
        ("Lt", &["5"][..], "-7", true),
        ("Gt", &["-1"][..], "5", false),
        ("Gt", &["1"][..], "many", false),
        ("Gt", &["1.5"][..], "5", false),
        ("Gt", &["1", "2"][..], "5", false),
        ("Gt", &[][..], "5", false),
        ("Lt", &["9223372036854775808"][..], "5", false),
    ] {
        let rules = required(vec![expressions(&[requirement("cpus", operator, values)])]);
        assert_eq!(rules.select("n", &labels(&[("cpus", label)])), selected, "{label} {operator} {values:?}");
        assert!(!rules.select("n", &labels(&[])));
    }
}

#[test]
fn a4_a_term_that_makes_no_sense_does_not_spoil_the_others() {
    let bad = expressions(&[requirement("cpus", "Gt", &["many"])]);
    let good = expressions(&[requirement("node_for", "In", &["models"])]);
    let node = labels(&[("node_for", "models"), ("cpus", "8")]);
    assert!(required(vec![bad.clone(), good]).select("n", &node));
    assert!(!required(vec![bad]).select("n", &node));
}

#[test]
fn a5_fields_ask_for_the_nodes_name_and_nothing_else() {
    let field = |key: &str, operator: &str, values: &[&str]| Term {
        expressions: Vec::new(),
        fields: vec![requirement(key, operator, values)],
    };
    for (term, selected) in [
        (field("metadata.name", "In", &["node-a"]), true),
        (field("metadata.name", "In", &["node-b"]), false),
        (field("metadata.name", "NotIn", &["node-a"]), false),
        (field("metadata.name", "NotIn", &["node-b"]), true),
        (field("metadata.name", "In", &["node-a", "node-b"]), false),
        (field("metadata.name", "Exists", &[]), false),
        (field("metadata.namespace", "In", &["node-a"]), false),
    ] {
        assert_eq!(required(vec![term.clone()]).select("node-a", &labels(&[])), selected, "{term:?}");
    }
    let both = |name: &str| Term {
        expressions: vec![requirement("node_for", "In", &["models"])],
        ..field("metadata.name", "In", &[name])
    };
    let node = labels(&[("node_for", "models")]);
    assert!(required(vec![both("node-a")]).select("node-a", &node));
    assert!(!required(vec![both("node-b")]).select("node-a", &node));
    assert!(
        required(vec![field("metadata.name", "In", &["node-b"]), both("node-a")]).select("node-a", &node)
    );
}
