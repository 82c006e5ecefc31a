//! A capture, or a live input, from its begin to its end: as rows, as a summary, or as raw fields.
//!
//! Each function returns what the user should know beside its output, a sentence each.

use std::io::{self, Write};

use helios_collector::decode::DecoderConfig;

use super::output::Rows;
use super::raw::Raw;
use super::session::Session;
use crate::capture::{CaptureError, Event, Live};

/// Why decoding ended before the end of the input.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The input cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Gives every decoded row to `rows`.
///
/// # Errors
/// [`RunError`].
pub fn rows(live: &mut Live, config: DecoderConfig, mut rows: Box<dyn Rows + '_>) -> Result<Vec<String>, RunError> {
    let mut session = Session::new(config);
    loop {
        let done = match live.next_event()? {
            Event::Datagram(datagram) => session.feed(&datagram, Some(rows.as_mut())),
            Event::Idle => rows.flush(),
            Event::End => break,
        };
        done?;
    }
    rows.finish()?;
    Ok(session.summary().notes())
}

/// Writes one JSON object of counters by protocol.
///
/// # Errors
/// [`RunError`].
pub fn summary(live: &mut Live, config: DecoderConfig, mut out: impl Write) -> Result<Vec<String>, RunError> {
    let mut session = Session::new(config);
    loop {
        match live.next_event()? {
            Event::Datagram(datagram) => session.feed(&datagram, None)?,
            Event::Idle => {}
            Event::End => break,
        }
    }
    let written = serde_json::to_writer_pretty(&mut out, session.summary()).map_err(io::Error::from);
    written.and_then(|()| writeln!(out)).and_then(|()| out.flush())?;
    Ok(session.summary().notes())
}

/// Writes every field of every record by generic decoding, a JSON line each record.
///
/// # Errors
/// [`RunError`].
pub fn raw(live: &mut Live, out: impl Write) -> Result<Vec<String>, RunError> {
    let mut raw = Raw::new(out);
    loop {
        let done = match live.next_event()? {
            Event::Datagram(datagram) => raw.feed(&datagram),
            Event::Idle => raw.flush(),
            Event::End => break,
        };
        done?;
    }
    raw.finish()?;
    Ok(raw.notes().into_iter().collect())
}
