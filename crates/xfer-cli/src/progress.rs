//! Progress on a terminal: a bar for each of the transfers that last, and a line for all of them.
//!
//! Looks at the transfers from time to time instead of being told by them, so that an object costs nothing here but a look. Never draws
//! where there is no terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use xfer_facade::TransferFuture;

/// How often bars move.
const EVERY: Duration = Duration::from_millis(100);
/// A transfer that takes less than this gets no bar.
const LASTING: Duration = Duration::from_millis(300);
/// Most bars on the screen.
const BARS: usize = 8;
/// Columns for a name.
const NAME: usize = 20;

/// Standard error: lines go above the bars, if there are any.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bars: Option<MultiProgress>,
    /// Whether what goes to standard output appears among the bars.
    shared: bool,
}

impl Screen {
    /// With bars, if they are wanted and there is a terminal.
    pub(crate) fn new(bars: bool) -> Screen {
        let bars = (bars && io::stderr().is_terminal()).then(MultiProgress::new);
        Screen { bars, shared: io::stdout().is_terminal() }
    }

    /// Writes a line of text, with anything in it that would move the cursor made visible.
    pub(crate) fn say(&self, line: &str) {
        self.write(format!("{}\n", printable(line)).as_bytes());
    }

    /// Whether somebody watches.
    pub(crate) fn has_bars(&self) -> bool {
        self.bars.is_some()
    }

    /// Writes to standard output by `put`, with no bar in its way.
    pub(crate) fn beside<T>(&self, put: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) if self.shared => bars.suspend(put),
            _ => put(),
        }
    }

    fn write(&self, bytes: &[u8]) {
        // Nobody is left to be told when standard error is closed.
        let put = || drop(io::stderr().lock().write_all(bytes));
        match &self.bars {
            Some(bars) => bars.suspend(put),
            None => put(),
        }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Screen::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names come from elsewhere, and some of their characters mean something to terminals.
fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        Cow::Owned(text.chars().map(visible).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The end of a name, which says more than its start.
fn shortened(name: &str) -> String {
    let name = printable(name);
    let length = name.chars().count();
    if length <= NAME {
        return name.into_owned();
    }
    std::iter::once('…').chain(name.chars().skip(length - NAME + 1)).collect()
}

/// What a transfer that goes on looks like from here.
pub(crate) trait Watched {
    fn name(&self) -> String;
    fn future(&self) -> &TransferFuture;
    fn gauge(&mut self) -> &mut Option<Gauge>;
}

/// A bar and its speed.
#[derive(Debug)]
pub(crate) struct Gauge {
    bar: ProgressBar,
    speed: Speed,
    drawn: bool,
}

impl Gauge {
    fn new(bytes: u64, now: Instant) -> Gauge {
        Gauge { bar: ProgressBar::hidden(), speed: Speed::new(bytes, now), drawn: false }
    }

    /// Draws from now on, in this place.
    fn draw(&mut self, name: String, place: impl FnOnce(ProgressBar) -> ProgressBar) {
        self.bar = place(ProgressBar::no_length().with_style(style(false)).with_message(name));
        self.drawn = true;
    }

    fn show(&mut self, bytes: u64, length: Option<u64>, now: Instant) {
        self.speed.look(bytes, now);
        if !self.drawn {
            return;
        }
        if self.bar.length() != length {
            self.bar.set_style(style(length.is_some()));
            match length {
                Some(length) => self.bar.set_length(length),
                None => self.bar.unset_length(),
            }
        }
        self.bar.set_prefix(self.speed.words(length.map(|length| length.saturating_sub(bytes))));
        self.bar.set_position(bytes);
    }
}

/// Bytes per second, smoothed over about a second.
#[derive(Clone, Copy, Debug)]
struct Speed {
    begun: Instant,
    at: (u64, Instant),
    rate: Option<f64>,
}

impl Speed {
    fn new(bytes: u64, now: Instant) -> Speed {
        Speed { begun: now, at: (bytes, now), rate: None }
    }

    fn look(&mut self, bytes: u64, now: Instant) {
        let seconds = now.duration_since(self.at.1).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let latest = bytes.saturating_sub(self.at.0) as f64 / seconds;
        let old = (-seconds).exp();
        self.rate = Some(self.rate.map_or(latest, |rate| rate * old + latest * (1.0 - old)));
        self.at = (bytes, now);
    }

    /// The rate, and how long `left` more bytes take.
    fn words(&self, left: Option<u64>) -> String {
        let Some(rate) = self.rate else { return String::new() };
        let words = format!("{:>11}/s", HumanBytes(rate as u64).to_string());
        match left {
            Some(left) if rate >= 1.0 => {
                // Longer than a year is not known any better.
                let seconds = (left as f64 / rate).min(3.2e7) as u64;
                format!("{words} {:>7}", clock(seconds))
            }
            Some(_) => format!("{words}   --:--"),
            None => words,
        }
    }
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The bars.
pub(crate) struct Progress {
    bars: MultiProgress,
    shown: usize,
    total: Gauge,
    ended: u64,
    ended_bytes: u64,
    next: Instant,
}

impl Progress {
    /// `None` where there is nobody to look at it.
    pub(crate) fn on(screen: &Screen) -> Option<Progress> {
        let bars = screen.bars.clone()?;
        let now = Instant::now();
        Some(Progress { bars, shown: 0, total: Gauge::new(0, now), ended: 0, ended_bytes: 0, next: now + EVERY })
    }

    /// A transfer has ended.
    pub(crate) fn ended(&mut self, bytes: u64, gauge: Option<Gauge>) {
        self.ended += 1;
        self.ended_bytes += bytes;
        if let Some(Gauge { bar, drawn: true, .. }) = gauge {
            bar.finish_and_clear();
            self.bars.remove(&bar);
            self.shown -= 1;
        }
    }

    /// Moves the bars if it is time. `complete` says that no more transfers will come.
    pub(crate) fn tick<W: Watched>(&mut self, active: &mut [W], complete: bool) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let several = self.ended + active.len() as u64 > 1;
        let (mut moved, mut size) = (self.ended_bytes, complete.then_some(self.ended_bytes));
        for transfer in active.iter_mut() {
            let meta = transfer.future().meta();
            let (bytes, length) = (meta.bytes_transferred(), meta.size());
            moved += bytes;
            size = size.zip(length).map(|(all, one)| all + one);
            if bytes == 0 {
                continue;
            }
            let name = transfer
                .gauge()
                .as_ref()
                .is_some_and(|gauge| self.deserves_bar(gauge, bytes, length, now))
                .then(|| transfer.name());
            let gauge = transfer.gauge().get_or_insert_with(|| Gauge::new(bytes, now));
            if let Some(name) = name {
                gauge.draw(shortened(&name), |bar| self.bars.insert(self.shown, bar));
                self.shown += 1;
            }
            gauge.show(bytes, length, now);
        }
        if several {
            if !self.total.drawn {
                self.total.draw(String::new(), |bar| self.bars.add(bar));
            }
            let more = if complete { "" } else { "+" };
            self.total.bar.set_message(format!("{} done, {}{more} to go", self.ended, active.len()));
            self.total.show(moved, size, now);
        }
    }

    /// Whether a transfer that has none yet is to get one: it has moved for a while, and will for a while.
    fn deserves_bar(&self, gauge: &Gauge, bytes: u64, length: Option<u64>, now: Instant) -> bool {
        !gauge.drawn
            && self.shown < BARS
            && now.duration_since(gauge.speed.begun) >= LASTING
            && length.is_none_or(|length| bytes < length)
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear(&self) {
        self.total.bar.finish_and_clear();
        // If the terminal has gone there is nothing to clear.
        let _ = self.bars.clear();
    }
}

fn style(bounded: bool) -> ProgressStyle {
    // A template that makes no sense is seen by a test.
    let style = ProgressStyle::with_template(template(bounded)).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn template(bounded: bool) -> &'static str {
    if bounded {
        "{msg:20!} [{wide_bar}] {bytes:>10}/{total_bytes:10} {prefix}"
    } else {
        "{msg:20!} {bytes:>10} {prefix}"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a/b c.txt"), "a/b c.txt");
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("short"), "short");
        let name = shortened("a/very/long/path/to/a/file-with-a-name.tar.gz");
        assert_eq!(name.chars().count(), NAME);
        assert!(name.starts_with('…') && name.ends_with("-with-a-name.tar.gz"), "{name}");
    }

    #[test]
    fn templates_are_sound() {
        for bounded in [true, false] {
            assert!(ProgressStyle::with_template(template(bounded)).is_ok());
        }
    }

    #[test]
    fn speed_follows_what_happens() {
        let begun = Instant::now();
        let after = |tenths: u64| begun + Duration::from_millis(100 * tenths);
        // What had been moved before the first look does not count.
        let mut speed = Speed::new(5_000_000, begun);
        assert_eq!(speed.words(Some(1)), "");
        for tenth in 1..=20 {
            speed.look(5_000_000 + tenth * 100 * 1024, after(tenth));
        }
        assert_eq!(speed.words(Some(1000 * 1024)).split_whitespace().collect::<Vec<_>>(), ["1000.00", "KiB/s", "0:01"]);
        for tenth in 21..=200 {
            speed.look(5_000_000 + 20 * 100 * 1024, after(tenth));
        }
        assert!(speed.words(Some(1000)).ends_with("--:--"), "{}", speed.words(Some(1000)));
        assert_eq!((clock(59), clock(61), clock(3661)), ("0:59".into(), "1:01".into(), "1:01:01".into()));
    }
}
