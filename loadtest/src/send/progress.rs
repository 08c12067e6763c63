//! The progress bar, shown only if stderr is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how many messages were acknowledged; silent if stderr is not a terminal.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar up to `count`, or a counter without an end.
    pub(super) fn new(count: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(count, ProgressDrawTarget::stderr());
        let template = match count {
            Some(_) => "{bar:40} {human_pos}/{human_len}  {per_sec}  {eta}",
            None => "{spinner} {human_pos}  {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Moves it.
    pub(super) fn show(&self, acknowledged: u64) {
        self.0.set_position(acknowledged);
    }

    /// Removes it.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
