//! How many GPUs there are. Sampling them comes later, on a thread of its own.
//!
//! NVML is loaded at run time and may hang in the kernel for ever, so it is asked on a thread that
//! nobody waits for beyond a deadline.

use std::{sync::mpsc::sync_channel, thread, time::Duration};

use nvml_wrapper::Nvml;
use tracing::{info, warn};

/// A healthy driver answers in well under a second, also when it must wake the GPUs first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// GPUs that NVML shows; none where there is no driver, or no answer.
pub fn count() -> u32 {
    let (sender, receiver) = sync_channel(1);
    let ask = move || {
        let answer = Nvml::init().and_then(|nvml| nvml.device_count());
        // Nobody listens any more when the deadline has passed.
        drop(sender.send(answer));
    };
    if thread::Builder::new().name("nvml".into()).spawn(ask).is_err() {
        return 0;
    }
    match receiver.recv_timeout(ANSWER_TIMEOUT) {
        Ok(Ok(count)) => {
            info!(count, "GPUs are here; their use is not sampled yet");
            count
        }
        Ok(Err(error)) => {
            info!(%error, "no GPU is sampled");
            0
        }
        Err(_) => {
            warn!("the GPU driver does not answer; no GPU is sampled");
            0
        }
    }
}
