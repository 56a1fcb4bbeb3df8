//! The node's own CPUs, memory and stall: kept-open files, and what a tick reads of them.

use berth::{CpuList, Group, limits::MAX_CPUS};

use crate::{
    clock::SECOND_NSEC,
    columns::Chunk,
    container::signed,
    due::Due,
    host::{Answer, HostRoot, KeptFile, PERIOD_NSEC, Pressure, PressureFiles, Reader, text},
    series::Track,
};

/// One line of /proc/stat is at most this long: ten numbers of up to 20 digits would be more, but
/// no counter of ticks passes 12 digits in a thousand years.
const STAT_LINE_BYTES: usize = 144;

/// The node.
#[derive(Debug)]
pub struct Node {
    stat: Option<KeptFile>,
    meminfo: Option<KeptFile>,
    pressure: Option<PressureFiles>,
    wanted: Vec<bool>,
    cpus: usize,
    /// By metric, the largest value seen: idle and iowait may fall a little (documented for
    /// /proc/stat), and a CPU that went off takes its counts along.
    cpu_usec: [u64; 4],
    memory_due: Due,
    pressure_due: Due,
    newest_memory: Option<text::Meminfo>,
    newest_pressure: Pressure,
}

impl Node {
    /// Opens the node's files. It answers for `cpus` only.
    pub fn open(host: &HostRoot, cpus: &CpuList, pressure: bool, now_nsec: u64) -> Self {
        let open = |file: &str| KeptFile::open(&host.proc(file)).ok();
        let highest = cpus.iter().max().unwrap_or(0).min(MAX_CPUS);
        Self {
            stat: open("stat"),
            meminfo: open("meminfo"),
            pressure: PressureFiles::of_node(host, now_nsec).filter(|_| pressure),
            wanted: (0..=highest).map(|cpu| cpus.contains(cpu)).collect(),
            cpus: cpus.len(),
            cpu_usec: [0; 4],
            memory_due: Due::starting(SECOND_NSEC, now_nsec),
            pressure_due: Due::spread(PERIOD_NSEC, 0, now_nsec),
            newest_memory: None,
            newest_pressure: Pressure::default(),
        }
    }

    /// How much of /proc/stat must be read to see every wanted CPU.
    pub fn stat_bytes(&self) -> usize {
        (self.wanted.len() + 1) * STAT_LINE_BYTES
    }

    /// The groups that it has values of.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        [
            (Group::NodeCpu, self.stat.is_some()),
            (Group::NodeMemory, self.meminfo.is_some()),
            (Group::NodePressure, self.pressure.is_some()),
        ]
        .into_iter()
        .filter_map(|(group, has)| has.then_some(group))
    }

    /// Reads all that is due into the newest tick of `chunk`.
    pub fn sample(&mut self, now_nsec: u64, reader: &mut Reader, track: &Track, chunk: &mut Chunk) {
        let cpu = self.read_cpu(reader).map_or([None; 4], |usec| usec.map(signed));
        track.put(Group::NodeCpu, chunk, cpu);
        if let Some(meminfo) = self.meminfo.as_ref().filter(|_| self.memory_due.is_due(now_nsec)) {
            self.newest_memory = reader.read(meminfo).parse(text::meminfo).here();
        }
        let memory = self.newest_memory.map(|memory| [memory.available_bytes, memory.free_bytes]);
        track.put(Group::NodeMemory, chunk, memory.map_or([None; 2], |bytes| bytes.map(signed)));
        if let Some(files) = self.pressure.as_mut().filter(|_| self.pressure_due.is_due(now_nsec)) {
            match files.read(now_nsec, reader) {
                Answer::New(pressure) => self.newest_pressure = pressure,
                Answer::Refused | Answer::Gone => {}
            }
        }
        track.put(Group::NodePressure, chunk, pressure_row(self.newest_pressure));
    }

    /// Unknown while one of the wanted CPUs is off.
    fn read_cpu(&mut self, reader: &mut Reader) -> Option<[u64; 4]> {
        let wanted = |cpu: u32| usize::try_from(cpu).ok().and_then(|cpu| self.wanted.get(cpu)) == Some(&true);
        let text = reader.read(self.stat.as_ref()?);
        let now =
            text.parse(|text| text::node_cpu(text, wanted)).here().filter(|now| now.cpus == self.cpus)?;
        let now = [now.busy_usec, now.idle_usec, now.irq_usec, now.steal_usec];
        self.cpu_usec = std::array::from_fn(|metric| now[metric].max(self.cpu_usec[metric]));
        Some(self.cpu_usec)
    }
}

/// Of the CPU of a whole node only "some" means anything.
fn pressure_row(Pressure { cpu, memory, io }: Pressure) -> [Option<i64>; 5] {
    let some = |stall: Option<text::Stall>| stall.and_then(|stall| signed(stall.some_usec));
    let full = |stall: Option<text::Stall>| stall.and_then(|stall| stall.full_usec).and_then(signed);
    [some(cpu), some(memory), full(memory), some(io), full(io)]
}
