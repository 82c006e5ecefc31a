//! A capture that is read while it is written: its datagrams as they come, until somebody stops it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use super::{Capture, CaptureError, Counts, Datagram};

/// Datagrams that are read ahead.
const READ_AHEAD: usize = 256;

/// How long it takes at most to notice a stop while no packet comes.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// What a live capture has to tell.
#[derive(Debug)]
pub enum Event {
    /// The next datagram, in the order of the capture.
    Datagram(Datagram),
    /// No further datagram is there now: the output for the earlier ones should be flushed.
    Idle,
    /// The capture ended, or was stopped.
    End,
}

/// Reads a capture in a thread of its own, so that a stop need not wait for the next packet.
#[derive(Debug)]
pub struct Live {
    datagrams: Receiver<Result<Datagram, CaptureError>>,
    counts: Arc<Mutex<Counts>>,
    stop: Arc<AtomicBool>,
    idle: bool,
}

impl Live {
    /// Starts to read; `stop` ends it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut capture: Capture, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let (sender, datagrams) = sync_channel(READ_AHEAD);
        let counts = Arc::new(Mutex::new(Counts::default()));
        let shared = Arc::clone(&counts);
        let read = move || {
            loop {
                let item = capture.next();
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = capture.counts();
                let Some(item) = item else { break };
                // After a stop, the receiver is gone.
                if sender.send(item).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("capture".to_owned()).spawn(read)?;
        Ok(Self { datagrams, counts, stop, idle: false })
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the capture was stopped before its end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for the next event. [`Event::Idle`] comes once before it waits.
    ///
    /// # Errors
    /// When the capture cannot be read on.
    pub fn next_event(&mut self) -> Result<Event, CaptureError> {
        if self.is_stopped() {
            return Ok(Event::End);
        }
        match self.datagrams.try_recv() {
            Ok(datagram) => return self.came(datagram),
            Err(TryRecvError::Disconnected) => return Ok(Event::End),
            Err(TryRecvError::Empty) if !self.idle => {
                self.idle = true;
                return Ok(Event::Idle);
            }
            Err(TryRecvError::Empty) => {}
        }
        while !self.is_stopped() {
            match self.datagrams.recv_timeout(STOP_CHECK) {
                Ok(datagram) => return self.came(datagram),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(Event::End)
    }

    fn came(&mut self, datagram: Result<Datagram, CaptureError>) -> Result<Event, CaptureError> {
        self.idle = false;
        datagram.map(Event::Datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Writer;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn datagram(n: u8) -> Datagram {
        let address = |octet| format!("192.0.2.{octet}:2055").parse().unwrap();
        Datagram { timestamp_ns: 1_000_000_000, source: address(1), destination: address(2), payload: vec![n; 30] }
    }

    fn written(datagrams: &[Datagram]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for Datagram { timestamp_ns, source, destination, payload } in datagrams {
            writer.datagram(*timestamp_ns, *source, *destination, payload).unwrap();
        }
        writer.finish().unwrap()
    }

    /// The payload's first octet of each datagram up to the next pause.
    fn until_idle(live: &mut Live) -> Vec<u8> {
        let mut seen = Vec::new();
        loop {
            match live.next_event().unwrap() {
                Event::Datagram(datagram) => seen.push(datagram.payload[0]),
                Event::Idle if seen.is_empty() => {}
                Event::Idle | Event::End => return seen,
            }
        }
    }

    #[test]
    fn datagrams_come_before_the_capture_ends_and_a_stop_ends_it() {
        let whole = written(&[datagram(1), datagram(2)]);
        let first = written(&[datagram(1)]).len();
        let (mut tcpdump, input) = UnixStream::pair().unwrap();
        tcpdump.write_all(&whole[..first]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let capture = Capture::read("a pipe", input).unwrap();
        let mut live = Live::start(capture, Arc::clone(&stop)).unwrap();
        assert_eq!(until_idle(&mut live), [1]);
        tcpdump.write_all(&whole[first..]).unwrap();
        assert_eq!(until_idle(&mut live), [2]);
        assert_eq!(live.counts().datagrams, 2);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(live.next_event(), Ok(Event::End)));
    }

    #[test]
    fn a_whole_capture_ends_by_itself() {
        let octets = written(&[datagram(7)]);
        let capture = Capture::read("octets", io::Cursor::new(octets)).unwrap();
        let mut live = Live::start(capture, Arc::default()).unwrap();
        let mut seen = 0;
        loop {
            match live.next_event().unwrap() {
                Event::Datagram(_) => seen += 1,
                Event::Idle => {}
                Event::End => break,
            }
        }
        assert_eq!((seen, live.is_stopped()), (1, false));
    }
}
