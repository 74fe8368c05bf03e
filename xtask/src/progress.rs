//! What the person at the terminal sees of long work: a moving line on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// One piece of work with a name; prints how long it took when it is over.
pub(crate) struct Stage {
    name: String,
    since: Instant,
    line: Option<ProgressBar>,
}

/// Starts a stage whose tools print for themselves: no moving line.
pub(crate) fn stage(name: &str) -> Stage {
    eprintln!("--- {name}");
    Stage { name: name.to_owned(), since: Instant::now(), line: None }
}

/// Starts a stage that is silent unless it says something: on a terminal a line shows that it lives.
pub(crate) fn quiet_stage(name: &str) -> Stage {
    if !stderr().is_terminal() {
        return stage(name);
    }
    let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}");
    let line = ProgressBar::new_spinner().with_prefix(name.to_owned());
    line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    line.enable_steady_tick(Duration::from_millis(120));
    Stage { name: name.to_owned(), since: Instant::now(), line: Some(line) }
}

impl Stage {
    /// What is happening now: replaces what was said before.
    pub(crate) fn now(&self, text: &str) {
        if let Some(line) = &self.line {
            line.set_message(text.to_owned());
        }
    }

    /// A line that stays, on stdout.
    pub(crate) fn say(&self, text: &str) {
        match &self.line {
            Some(line) => line.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }

    /// Ends the stage and prints what it took.
    pub(crate) fn done(self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
        println!("--- {}: {}", self.name, took(self.since.elapsed()));
    }
}

/// `4.2 s`, `3.1 min`: what a person compares with a budget.
pub(crate) fn took(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.1} min", seconds / 60.0),
    }
}
