//! Between what the detector takes and the entries of a trace.
//!
//! Invariant: what was encoded decodes to the same inputs. Both ends hold whom the trace has named,
//! count it in the same way, and stop at the same limit.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use berth::{
    CpuList, ProtocolError, SeriesId, limits,
    trace::{self, Entry, Header, NamedWho, SinceStart},
};

use crate::{
    contention::Input,
    frame::{ContainerUse, Frame, Late, RawThreads},
    time::AxisNsec,
    who::{ContainerKey, Owner, Role, Who, WhoRef},
};

/// What an entry of a table takes beside its text or its CPUs, at most.
const ROW_BYTES: usize = 256;

/// Memory for those whom the trace has named.
#[derive(Debug, Default)]
struct Names {
    bytes: usize,
}

impl Names {
    fn add(&mut self, entry: &Entry) -> Result<(), ProtocolError> {
        let bytes = match entry {
            Entry::Who(NamedWho { who, .. }) => {
                let owner = who.owner.as_ref().map_or(0, |owner| owner.kind.len() + owner.name.len());
                let texts = [&who.namespace, &who.pod, &who.pod_uid, &who.container, &who.cgroup];
                owner + texts.map(String::len).iter().sum::<usize>()
            }
            Entry::Container(container) => {
                container.cpus.as_ref().map_or(0, |cpus| cpus.len() * size_of::<u32>())
            }
            Entry::Header(_)
            | Entry::Frame(_)
            | Entry::Late(_)
            | Entry::Step(_)
            | Entry::Reset(_)
            | Entry::RawThreads(_) => 0,
        };
        self.bytes += ROW_BYTES + bytes;
        let limit = limits::TRACE_NAMES_BYTES;
        if self.bytes > limit {
            return Err(ProtocolError::TooMany { field: "bytes of names", count: self.bytes, limit });
        }
        Ok(())
    }
}

/// Turns inputs into entries.
#[derive(Debug)]
pub struct Encoder {
    start: AxisNsec,
    names: Names,
    who: BTreeMap<WhoRef, u32>,
    containers: BTreeMap<ContainerKey, (WhoRef, Option<Arc<CpuList>>)>,
}

impl Encoder {
    /// For what follows a header of that start.
    pub fn new(start: AxisNsec) -> Self {
        Self { start, names: Names::default(), who: BTreeMap::new(), containers: BTreeMap::new() }
    }

    /// The entries for the next input: whom it speaks of, where they are new, and itself. Errors: the
    /// trace has named too many.
    pub fn encode(&mut self, input: &Input) -> Result<Vec<Entry>, ProtocolError> {
        let mut entries = Vec::new();
        let entry = match input {
            Input::Frame(frame) => {
                for container in &frame.containers {
                    entries.extend(self.introduce(container.key, &container.who, container.cpus.as_ref())?);
                }
                Entry::Frame(self.frame(frame))
            }
            Input::Late(Late { tick, key, add }) => {
                Entry::Late(trace::Late { tick: *tick, key: key.0, add: *add })
            }
            Input::Step(now) => Entry::Step(self.since(*now)),
            Input::Reset(now) => Entry::Reset(self.since(*now)),
        };
        entries.push(entry);
        Ok(entries)
    }

    /// The same for what single threads did.
    pub fn encode_threads(&mut self, raw: &RawThreads) -> Result<Vec<Entry>, ProtocolError> {
        let RawThreads { at, dt_nsec, key, who, cpus, threads, lost } = raw;
        let mut entries = self.introduce(*key, who, cpus.as_ref())?;
        entries.push(Entry::RawThreads(trace::RawThreads {
            at: self.since(*at),
            key: key.0,
            dt_nsec: *dt_nsec,
            threads: threads.clone(),
            lost: *lost,
        }));
        Ok(entries)
    }

    fn since(&self, at: AxisNsec) -> SinceStart {
        SinceStart(at.0.wrapping_sub(self.start.0).cast_signed())
    }

    /// Nothing where it is known already.
    fn introduce(
        &mut self,
        key: ContainerKey,
        who: &WhoRef,
        cpus: Option<&Arc<CpuList>>,
    ) -> Result<Vec<Entry>, ProtocolError> {
        let known = self.containers.get(&key);
        if known.is_some_and(|(known_who, known_cpus)| known_who == who && known_cpus.as_ref() == cpus) {
            return Ok(Vec::new());
        }
        let mut entries = Vec::with_capacity(2);
        let next = u32::try_from(self.who.len()).unwrap_or(u32::MAX);
        let index = *self.who.entry(Arc::clone(who)).or_insert(next);
        if index == next {
            entries.push(Entry::Who(NamedWho { index, who: told(who) }));
        }
        let list = cpus.map(|cpus| CpuList::clone(cpus));
        entries.push(Entry::Container(trace::Container { key: key.0, who: index, cpus: list }));
        entries.iter().try_for_each(|entry| self.names.add(entry))?;
        self.containers.insert(key, (Arc::clone(who), cpus.cloned()));
        Ok(entries)
    }

    fn frame(&self, frame: &Frame) -> trace::Frame {
        let container = |of: &ContainerUse| trace::ContainerUse {
            key: of.key.0,
            usage_nsec: of.usage_nsec,
            threads: of.threads,
            throttling: of.throttling,
            pressure: of.pressure,
            memory_bytes: of.memory_bytes,
            reclaim: of.reclaim,
            io: of.io,
            limits: of.limits,
            quotas: of.quotas,
        };
        trace::Frame {
            at: self.since(frame.at),
            tick: frame.tick,
            dt_nsec: frame.dt_nsec,
            node: frame.node,
            node_pressure: frame.node_pressure,
            available_bytes: frame.available_bytes,
            containers: frame.containers.iter().map(container).collect(),
            gpus: frame.gpus.clone(),
        }
    }
}

/// Turns entries back into inputs.
#[derive(Debug)]
pub struct Decoder {
    header: Header,
    names: Names,
    who: Vec<WhoRef>,
    containers: BTreeMap<SeriesId, (WhoRef, Option<Arc<CpuList>>)>,
}

impl Decoder {
    /// From a trace's first entry. Errors: it is no header.
    pub fn new(first: Entry) -> Result<Self, ProtocolError> {
        let Entry::Header(header) = first else { return Err(ProtocolError::Missing { field: "header" }) };
        Ok(Self { header: *header, names: Names::default(), who: Vec::new(), containers: BTreeMap::new() })
    }

    /// Whose trace it is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The input that an entry stands for; `None` where it only names somebody, or tells of single
    /// threads. Errors: it speaks of somebody who was not named, or the trace names too many.
    pub fn decode(&mut self, entry: Entry) -> Result<Option<Input>, ProtocolError> {
        match entry {
            Entry::Header(_) => {
                return Err(invalid("header", "a second one", "the first entry, and only that"));
            }
            Entry::Who(NamedWho { index, .. }) if usize::try_from(index) != Ok(self.who.len()) => {
                return Err(invalid("who.index", index, "the next number"));
            }
            Entry::Who(_) | Entry::Container(_) => self.names.add(&entry)?,
            Entry::RawThreads(raw) if !self.containers.contains_key(&raw.key) => {
                return Err(invalid("raw_threads.key", raw.key.get(), "one that was named before"));
            }
            Entry::Frame(_) | Entry::Late(_) | Entry::Step(_) | Entry::Reset(_) | Entry::RawThreads(_) => {}
        }
        Ok(match entry {
            Entry::Header(_) | Entry::RawThreads(_) => None,
            Entry::Who(NamedWho { who, .. }) => {
                self.who.push(Arc::new(heard(who)));
                None
            }
            Entry::Container(trace::Container { key, who, cpus }) => {
                let named = usize::try_from(who).ok().and_then(|index| self.who.get(index));
                let named =
                    named.ok_or_else(|| invalid("container.who", who, "one that was named before"))?;
                self.containers.insert(key, (Arc::clone(named), cpus.map(Arc::new)));
                None
            }
            Entry::Frame(frame) => Some(Input::Frame(self.frame(frame)?)),
            Entry::Late(trace::Late { tick, key, add }) => {
                Some(Input::Late(Late { tick, key: ContainerKey(key), add }))
            }
            Entry::Step(now) => Some(Input::Step(self.at(now))),
            Entry::Reset(now) => Some(Input::Reset(self.at(now))),
        })
    }

    fn at(&self, SinceStart(nsec): SinceStart) -> AxisNsec {
        AxisNsec(self.header.start_unix_nsec.wrapping_add_signed(nsec))
    }

    fn frame(&self, frame: trace::Frame) -> Result<Frame, ProtocolError> {
        let container = |of: trace::ContainerUse| {
            let known = self.containers.get(&of.key);
            let rule = "one that was named before";
            let (who, cpus) = known.ok_or_else(|| invalid("frame.containers.key", of.key.get(), rule))?;
            Ok(ContainerUse {
                key: ContainerKey(of.key),
                who: Arc::clone(who),
                cpus: cpus.clone(),
                usage_nsec: of.usage_nsec,
                threads: of.threads,
                throttling: of.throttling,
                pressure: of.pressure,
                memory_bytes: of.memory_bytes,
                reclaim: of.reclaim,
                io: of.io,
                limits: of.limits,
                quotas: of.quotas,
            })
        };
        Ok(Frame {
            tick: frame.tick,
            at: self.at(frame.at),
            dt_nsec: frame.dt_nsec,
            node: frame.node,
            node_pressure: frame.node_pressure,
            available_bytes: frame.available_bytes,
            containers: frame.containers.into_iter().map(container).collect::<Result<_, _>>()?,
            gpus: frame.gpus,
        })
    }
}

fn told(who: &Who) -> trace::Who {
    let owner = who.owner.as_ref();
    trace::Who {
        namespace: who.namespace.clone(),
        pod: who.pod.clone(),
        pod_uid: who.pod_uid.clone(),
        container: who.container.clone(),
        owner: owner.map(|Owner { kind, name }| trace::Owner { kind: kind.clone(), name: name.clone() }),
        role: match who.role {
            Role::Model => trace::Role::Model,
            Role::Scanner => trace::Role::Scanner,
            Role::LoadGenerator => trace::Role::LoadGenerator,
            Role::Other => trace::Role::Other,
        },
        cgroup: who.cgroup.clone(),
    }
}

fn heard(who: trace::Who) -> Who {
    Who {
        namespace: who.namespace,
        pod: who.pod,
        pod_uid: who.pod_uid,
        container: who.container,
        owner: who.owner.map(|trace::Owner { kind, name }| Owner { kind, name }),
        role: match who.role {
            trace::Role::Model => Role::Model,
            trace::Role::Scanner => Role::Scanner,
            trace::Role::LoadGenerator => Role::LoadGenerator,
            trace::Role::Other => Role::Other,
        },
        cgroup: who.cgroup,
    }
}

fn invalid(field: &'static str, value: impl Display, rule: &'static str) -> ProtocolError {
    ProtocolError::Invalid { field, value: value.to_string(), rule }
}
