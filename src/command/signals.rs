//! SIGINT, SIGTERM and SIGUSR1 ask to save and stop; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Fault;

/// Whether a signal has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Starts listening.
    pub fn listen() -> Result<Stop, Fault> {
        let stop = Stop::default();
        #[cfg(unix)]
        let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGUSR1];
        #[cfg(not(unix))]
        let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
        for signal in signals {
            // The order matters: the first signal finds the flag unset and only sets it, the second ends the process.
            let hook = |error: std::io::Error| Fault::World(format!("signals cannot be handled: {error}"));
            signal_hook::flag::register_conditional_shutdown(signal, 75, Arc::clone(&stop.0)).map_err(hook)?;
            signal_hook::flag::register(signal, Arc::clone(&stop.0)).map_err(hook)?;
        }
        Ok(stop)
    }

    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
