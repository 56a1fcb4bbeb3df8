//! An episode as about ten lines, at most thirteen: what, how much, from whom, when, how sure, and what to
//! do.

use berth::wire::{Cause, Resource, Tier, Verdict};

use crate::text::{self, Page};
use crate::view::word::Word;
use crate::view::{Episode, Time};

/// Causes that have a line each; `-o json` has them all.
const SHARES_SHOWN: usize = 3;

/// Characters of a bar that stands for the whole wait.
const BAR: u8 = 20;

pub(super) fn episode(episode: &Episode) -> String {
    let mut page = Page::default();
    let state = if episode.cleared.is_some() { "over" } else { "open" };
    page.line("episode", &format!("{} ({state}, revision {})", episode.id, episode.revision));
    page.line("victim", &victim(episode));
    page.line("verdict", &format!("{}: {}", episode.verdict.word(), meaning(episode)));
    page.line("severity", &format!("{}, on {}", episode.severity.word(), episode.resource.word()));
    page.line("slowdown", &slowdown(episode));
    shares(&mut page, episode);
    page.line("times", &times(episode));
    page.line("confidence", &confidence(episode));
    page.line("evidence", &evidence(episode));
    page.line("next", next(episode));
    page.finish()
}

fn victim(episode: &Episode) -> String {
    let owner = episode.victim.as_ref().map(crate::view::Who::owner).unwrap_or_default();
    let owner = if owner.is_empty() { owner } else { format!(" ({owner})") };
    format!("{}{owner} on {}", episode.victim_name(), episode.node)
}

fn slowdown(episode: &Episode) -> String {
    let Some(slowdown) = episode.slowdown else { return "not measured".to_owned() };
    if episode.resource == Resource::GpuTime {
        return format!(
            "{}: a second that it held the GPU took up to {:.2} s; {:.0} ms of that others held it",
            text::slowdown(Some(slowdown)),
            slowdown.estimate,
            episode.added_wait_msec_per_cpu_sec,
        );
    }
    // A pressure file shows no wait for CPU time while another of its threads runs.
    let is_part = episode.tier == Tier::Pressure && episode.resource == Resource::Cpu;
    let at_least = if is_part { "at least " } else { "" };
    let queue = if episode.saturated { "; its queue grows, so answers come ever later" } else { "" };
    format!(
        "{at_least}{}: a second of its work took {:.2} s; its waits added {:.0} ms of that{queue}",
        text::slowdown(Some(slowdown)),
        slowdown.estimate,
        episode.added_wait_msec_per_cpu_sec,
    )
}

fn shares(page: &mut Page, episode: &Episode) {
    let shares = &episode.shares;
    if shares.is_empty() {
        page.line("waits for", "nothing that could be told apart");
    }
    // One that is left takes no more room by its own name.
    let shown = if shares.len() == SHARES_SHOWN + 1 { shares.len() } else { shares.len().min(SHARES_SHOWN) };
    let (shown, rest) = shares.split_at(shown);
    for (index, share) in shown.iter().enumerate() {
        let who = share.who.as_ref().map(|who| format!(" ({}, {})", who.name(), who.role.word()));
        let whose =
            format!("{}{}", text::cause(share, episode.resource, episode.verdict), who.unwrap_or_default());
        page.line(if index == 0 { "waits for" } else { "" }, &part(share.share, &whose));
    }
    if !rest.is_empty() {
        let together = rest.iter().map(|share| share.share).sum();
        page.line("", &part(together, &format!("{} more; -o json has all", rest.len())));
    }
}

fn part(share: f64, whose: &str) -> String {
    format!("{:>5} {:<width$} {whose}", text::percent(share), bar(share), width = usize::from(BAR))
}

fn bar(share: f64) -> String {
    (1..=BAR).take_while(|cell| f64::from(*cell) <= (share * f64::from(BAR)).round()).map(|_| '#').collect()
}

fn times(episode: &Episode) -> String {
    let Some(onset) = episode.onset else { return "unknown".to_owned() };
    let after = |time: Option<Time>| {
        time.map_or_else(|| "not yet".to_owned(), |time| format!("+{}", text::duration(time.since(onset))))
    };
    format!(
        "onset {onset}, alarm {}, verdict {}, cleared {}",
        after(episode.alarm),
        after(episode.verdict_at),
        after(episode.cleared),
    )
}

fn confidence(episode: &Episode) -> String {
    let seen = match episode.tier {
        Tier::Threads => "each thread's wait and throttling",
        Tier::Pressure if episode.resource == Resource::Cpu => {
            "only when none of its threads ran, by its pressure file: they live too short, or are not watched"
        }
        Tier::Pressure => "how long it stood still, and what each pod took meanwhile",
        Tier::Usage if episode.resource == Resource::GpuTime => {
            return format!(
                "{}; seen: who held the GPU, not whether it had work for it all the time",
                episode.confidence.word()
            );
        }
        Tier::Usage => "CPU use only, so no wait is visible",
        Tier::Unspecified => "what could be seen is not said",
    };
    let coverage = text::percent(episode.coverage);
    format!("{}; seen: {seen} ({coverage} of its CPU time)", episode.confidence.word())
}

fn evidence(episode: &Episode) -> String {
    let numbers: Vec<String> =
        episode.evidence.iter().map(|evidence| format!("{} {:.2}", evidence.name, evidence.value)).collect();
    if numbers.is_empty() { "none was sent".to_owned() } else { numbers.join(", ") }
}

fn meaning(episode: &Episode) -> &'static str {
    let others = match episode.resource {
        Resource::Memory => "other pods take the memory of its node, and it waits for what is reclaimed",
        Resource::Io => {
            "other pods read and write too while it waits for a device; whether it is the same one is not known"
        }
        Resource::GpuTime => "other pods hold the GPU that it works on, which is never free",
        _ => "it waits for other pods on its node",
    };
    match episode.verdict {
        Verdict::Nobody => "nobody hurts it",
        Verdict::Neighbour => others,
        Verdict::SelfThrottled if is_throttled_by_pod(episode) => {
            "it waits for the CPU limit of its pod, not for a neighbour"
        }
        Verdict::SelfThrottled if has_own_cpu_limit(episode) => {
            "it waits for its own CPU limit, not for a neighbour"
        }
        Verdict::SelfThrottled => {
            "it waits for a CPU limit above it, its pod's or its class's, not for a neighbour"
        }
        Verdict::SelfOversubscribed if episode.resource == Resource::Memory => {
            "it takes the memory of its node itself, and waits for what is reclaimed"
        }
        Verdict::SelfOversubscribed => "its own threads wait for each other",
        Verdict::OverEntitlement => {
            "it has as much CPU for its request as the pods beside it have for theirs, and needs more"
        }
        Verdict::MemoryOwnLimit => "it is short of memory under its own limit",
        Verdict::Hypervisor => "the machine under its node gives the node too little time",
        Verdict::Unowned if episode.resource == Resource::GpuTime => {
            "work of no pod that is known holds the GPU that it works on, which is never free"
        }
        Verdict::Unowned if episode.resource == Resource::Memory => {
            "its node is short of memory, and no pod was seen to take it"
        }
        Verdict::Unowned => "it waits for work on the node that is in no sampled cgroup",
        Verdict::Mixed => "several causes; the shares say how much each",
        Verdict::SliceThrottled => {
            "it waits for a CPU limit above its pod, its class's or another slice's, not for a neighbour"
        }
        Verdict::Unspecified => "this version of berth does not know it",
    }
}

fn is_throttled_by_pod(episode: &Episode) -> bool {
    let held = |cause| -> f64 {
        episode.shares.iter().filter(|share| share.cause == cause).map(|share| share.share).sum()
    };
    held(Cause::PodThrottle) > held(Cause::Throttle)
}

fn has_own_cpu_limit(episode: &Episode) -> bool {
    episode.evidence.iter().any(|evidence| evidence.name == "cpu_limit_millicpu")
}

fn next(episode: &Episode) -> &'static str {
    match episode.verdict {
        Verdict::Unowned if episode.resource == Resource::GpuTime => {
            "look on the node for who uses the GPU: `nvidia-smi`"
        }
        Verdict::Neighbour | Verdict::Mixed if episode.resource == Resource::GpuTime => {
            "give it a GPU or a MIG instance of its own, or fewer to share with; `berth advise` deals with CPUs only"
        }
        Verdict::Neighbour | Verdict::Mixed if episode.resource != Resource::Cpu => {
            "move them to another node, or limit what they take; `berth advise` deals with CPUs only"
        }
        Verdict::Mixed if episode.shares.iter().all(|share| share.who.is_none()) => {
            "mend what has the largest share first; moving neighbours would not help"
        }
        Verdict::Neighbour | Verdict::Mixed => "`berth advise` says what to move, and how to take it back",
        Verdict::SelfThrottled if is_throttled_by_pod(episode) => {
            "raise or remove the CPU limit of its pod (its own, or the sum of its containers'); moving neighbours would not help"
        }
        Verdict::SelfThrottled if has_own_cpu_limit(episode) => {
            "raise or remove its CPU limit; moving neighbours would not help"
        }
        Verdict::SelfThrottled => {
            "raise or remove the CPU limit above it, its pod's or its class's; moving neighbours would not help"
        }
        Verdict::SliceThrottled => {
            "raise or remove the CPU limit above its pod, on the node: cpu.max of its class, of kubepods, or of another slice"
        }
        Verdict::SelfOversubscribed if episode.resource == Resource::Memory => {
            "give it a node with more memory, or less to hold; moving neighbours would not help"
        }
        Verdict::SelfOversubscribed => "give it fewer threads or more CPU; moving neighbours would not help",
        Verdict::OverEntitlement => "raise its CPU request to what it uses; `berth top` shows that",
        Verdict::MemoryOwnLimit => "raise its memory limit",
        Verdict::Hypervisor => "move the node to a quieter machine, or ask whoever runs that machine",
        Verdict::Unowned if episode.resource == Resource::Memory => {
            "look on the node for who holds its memory outside of pods: `ps -eo rss,comm --sort=-rss`"
        }
        Verdict::Unowned if episode.resource == Resource::Io => {
            "look on the node for who else uses its devices: `iostat -x 1`"
        }
        Verdict::Unowned => "look on the node for work outside of pods: `ps -eo pcpu,comm --sort=-pcpu`",
        Verdict::Nobody => "nothing",
        Verdict::Unspecified => "update berth",
    }
}

#[cfg(test)]
mod tests {
    use berth::wire;

    use super::*;

    #[test]
    fn an_episode_reads_as_about_ten_lines() {
        insta::assert_snapshot!(episode(&Episode::from(crate::view::sample::episode())));
        let share = |share| wire::Share { cause: Cause::Steal.into(), who: None, share };
        let shares = [0.4, 0.2, 0.1].into_iter().chain([0.03; 10]).map(share).collect();
        let page = episode(&Episode::from(wire::Episode { shares, ..crate::view::sample::episode() }));
        assert!(page.contains("30 % ######               10 more; -o json has all"), "{page}");
        assert_eq!(page.lines().count(), 13, "{page}");
    }

    #[test]
    fn what_is_next_fits_the_resource_and_the_causes() {
        let of = |verdict: Verdict, resource: Resource, cause: Cause| {
            let shares = vec![wire::Share { cause: cause.into(), who: None, share: 1.0 }];
            let (verdict, resource) = (verdict.into(), resource.into());
            let told = wire::Episode { verdict, resource, shares, ..crate::view::sample::episode() };
            episode(&Episode::from(told))
        };
        let memory = of(Verdict::Neighbour, Resource::Memory, Cause::Culprit);
        assert!(memory.contains("deals with CPUs only"), "{memory}");
        let unowned = of(Verdict::Unowned, Resource::Memory, Cause::Unowned);
        assert!(unowned.contains("--sort=-rss") && !unowned.contains("pcpu"), "{unowned}");
        let grown = of(Verdict::SelfOversubscribed, Resource::Memory, Cause::Self_);
        assert!(grown.contains("what it takes itself") && !grown.contains("limit"), "{grown}");
        let irq = of(Verdict::Mixed, Resource::Cpu, Cause::Irq);
        assert!(!irq.contains("berth advise"), "{irq}");
        let above = of(Verdict::SelfThrottled, Resource::Cpu, Cause::Throttle);
        assert!(above.contains("limit above it") && !above.contains("its CPU limit;"), "{above}");
    }

    #[test]
    fn a_wait_for_the_gpu_speaks_of_the_gpu_and_of_how_little_is_known() {
        let estimate = wire::Estimate { estimate: 4.0, lo: 1.0, hi: 4.0 };
        let evidence = |name: &str, value| wire::Evidence { name: name.to_owned(), value };
        let mut on_gpu = wire::Episode {
            resource: Resource::GpuTime.into(),
            slowdown: Some(estimate),
            added_wait_msec_per_cpu_sec: 3_000.0,
            severity: wire::Severity::Transient.into(),
            confidence: wire::Confidence::Possible.into(),
            tier: Tier::Usage.into(),
            evidence: vec![evidence("gpu_msec_per_sec", 250.0), evidence("wait_msec_per_sec", 750.0)],
            ..crate::view::sample::episode()
        };
        on_gpu.shares.truncate(2);
        on_gpu.shares.push(wire::Share { cause: Cause::Unowned.into(), who: None, share: 0.12 });
        insta::assert_snapshot!(episode(&Episode::from(on_gpu.clone())));
        on_gpu.verdict = Verdict::Unowned.into();
        let page = episode(&Episode::from(on_gpu));
        assert!(!page.contains("CPU") && page.contains("nvidia-smi"), "{page}");
    }

    #[test]
    fn the_limit_to_raise_is_that_of_the_level_that_throttles() {
        let throttled = |causes: [(Cause, f64); 2], verdict: Verdict| {
            let share = |(cause, share): (Cause, f64)| wire::Share { cause: cause.into(), who: None, share };
            let shares = causes.map(share).into();
            let mut sample = crate::view::sample::episode();
            sample.evidence.push(wire::Evidence { name: "cpu_limit_millicpu".to_owned(), value: 300.0 });
            episode(&Episode::from(wire::Episode { verdict: verdict.into(), shares, ..sample }))
        };
        let pod = throttled([(Cause::PodThrottle, 0.8), (Cause::Throttle, 0.2)], Verdict::SelfThrottled);
        assert!(pod.contains("waits for the CPU limit of its pod"), "{pod}");
        assert!(pod.contains("remove the CPU limit of its pod"), "{pod}");
        let own = throttled([(Cause::Throttle, 0.8), (Cause::PodThrottle, 0.2)], Verdict::SelfThrottled);
        assert!(own.contains("raise or remove its CPU limit"), "{own}");
        let slice = throttled([(Cause::SliceThrottle, 0.9), (Cause::Throttle, 0.1)], Verdict::SliceThrottled);
        assert!(slice.contains("slice_throttled: it waits for a CPU limit above its pod"), "{slice}");
        assert!(slice.contains("90 %") && slice.contains("on the node: cpu.max"), "{slice}");
    }

    #[test]
    fn what_a_pressure_file_shows_is_the_least_that_it_can_be() {
        let told = wire::Episode { tier: Tier::Pressure.into(), ..crate::view::sample::episode() };
        let page = episode(&Episode::from(told));
        assert!(page.contains("slowdown    at least 1.8x"), "{page}");
        assert!(page.contains("only when none of its threads ran, by its pressure file"), "{page}");
    }

    #[test]
    fn an_empty_answer_still_reads() {
        let page = episode(&Episode::from(wire::Episode::default()));
        assert!(page.contains("not measured") && page.contains("update berth"), "{page}");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_longer_than_the_whole() {
        for (share, length) in [(0.0, 0), (0.26, 5), (1.0, 20), (7.0, 20), (-1.0, 0), (f64::NAN, 0)] {
            assert_eq!(bar(share).len(), length, "{share}");
        }
    }
}
