//! The parts of the method that can be left out, to show on recorded runs what each of them gains.

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What a model's own requests wait for each other when it is alone is its load, and nobody's doing.
    OwnLoad,
    /// What comes a little and often is told, though it raises no alarm.
    SlowPath,
    /// Who comes into an open episode of CPU time and is most of it begins another.
    Newcomers,
    /// Where few threads can be read, the pressure file tells.
    PressureFile,
    /// Who has all that its request entitles it to is not held up by others.
    Entitlement,
    /// A part of a wait for CPUs that others keep busy makes no request take longer.
    Spared,
}
