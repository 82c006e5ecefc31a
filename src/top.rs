//! `helios top`: who moves the most right now. [`terminal`] keeps the lines of an answer on the screen.

pub mod terminal;
