//! The live screen: raw mode, an alternate screen, and both taken back however the program ends.

use std::io::{self, Write};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use tokio::sync::mpsc;

/// What a key press means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Quit,
    /// The next key to sum by.
    Next,
    /// The terminal has another size.
    Redraw,
}

/// The terminal in raw mode, on its alternate screen; dropping this restores it.
#[derive(Debug)]
pub struct Screen {
    color: bool,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When standard output is no terminal after all.
    pub fn open(color: bool) -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        // From here on Drop restores the terminal, also if the next line fails.
        let screen = Self { color };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        // A release build aborts on a panic and drops nothing.
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
        Ok(screen)
    }

    /// Shows a frame. Lines are overwritten in place, which does not flicker.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&self, lines: &[String], header: usize) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        let mut out = io::stdout().lock();
        queue!(out, MoveTo(0, 0))?;
        for (at, line) in lines.iter().take(height.into()).enumerate() {
            if at > 0 {
                out.write_all(b"\r\n")?;
            }
            let shown: String = line.chars().take(width.into()).collect();
            if self.color && at == header {
                queue!(out, SetAttribute(Attribute::Bold))?;
            }
            out.write_all(shown.as_bytes())?;
            queue!(out, SetAttribute(Attribute::Reset), Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }

    /// Number of lines that fit the screen.
    pub fn height(&self) -> usize {
        terminal::size().map_or(24, |(_, height)| height.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // If the terminal has gone, there is nothing to restore.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = terminal::disable_raw_mode();
}

/// Reads keys on a thread of their own, since reading them blocks; the thread ends with the process.
pub fn keys() -> mpsc::UnboundedReceiver<Key> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = crossterm::event::read() {
            if meaning(&event).is_some_and(|key| sender.send(key).is_err()) {
                return;
            }
        }
        // Without keys the user could not end the program.
        let _ = sender.send(Key::Quit);
    });
    receiver
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
            KeyCode::Char(' ') | KeyCode::Tab => Some(Key::Next),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyEvent;

    #[test]
    fn q_escape_and_control_c_quit() {
        let press = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(press(KeyCode::Tab, KeyModifiers::NONE), Some(Key::Next));
    }
}
