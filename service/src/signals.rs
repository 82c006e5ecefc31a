//! The signals that ask a process to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come within this time of the first one ask for the same stop: `timeout` signals its child and then the
/// whole process group, and a terminal's Ctrl-C may reach a program both ways.
const ONE_STOP: Duration = Duration::from_secs(1);

/// Waits for a second signal, which asks to end at once, and says which one came.
///
/// # Errors
/// When the system does not let the process take signals.
pub async fn second() -> io::Result<&'static str> {
    tokio::time::sleep(ONE_STOP).await;
    // New streams have only signals that come from now on; the earlier ones still hold those that came meanwhile.
    Ok(Signals::install()?.next().await)
}

/// What asks the process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes SIGTERM and SIGINT from here on: they no longer kill the process by themselves.
    ///
    /// # Errors
    /// When the system does not let the process take them.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal, and says which one came.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP, by which supervisors ask a process to read its configuration again.
///
/// # Errors
/// When the system does not let the process take it.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// A flag that SIGINT and SIGTERM set, for a program without a runtime that wants to end in its own time.
///
/// # Errors
/// When signals cannot be listened to.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // Registered before the thread starts: from here on no signal is missed.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::install()?
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(signals.next());
        seen.store(true, Ordering::Relaxed);
    })?;
    Ok(flag)
}
