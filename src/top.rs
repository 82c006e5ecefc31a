//! `helios top`: the top talkers right now. [`terminal`] keeps the lines of an answer on the screen.

pub mod terminal;
