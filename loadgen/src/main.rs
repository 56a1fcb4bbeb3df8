//! berth-loadgen: the worker that the aggregator drives.

fn main() -> std::process::ExitCode {
    berth_loadgen::program::run()
}
