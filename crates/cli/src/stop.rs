//! Ctrl-C, `kill` and a closed terminal: they raise a flag, and whoever is at work ends in good order.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::failure::Failure;

/// A flag that is up once somebody wants this process to end.
pub fn on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::refused(format!("cannot catch signals: {error}"), None))?;
    }
    Ok(stop)
}
