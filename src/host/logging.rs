//! A log that never blocks its callers: lines go into a bounded queue, and a thread of its own writes them.
//!
//! A reader of the log can neither delay other code nor end the process. A reader that stops reading blocks only this
//! thread; if it is gone (EPIPE), the lines are lost. A line that finds the queue full, or cannot be written, is dropped and
//! counted, and the next line written says how many were dropped. Knows lines and a sink; no format and no level.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Most lines that wait.
const LINES_MAX: usize = 16_384;
/// Most bytes of lines that wait.
const BYTES_MAX: usize = 4 << 20;
/// How long the process waits at its end for its last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pause before a sink that would block is tried again. This happens if another process has made the pipe non-blocking.
const RETRY: Duration = Duration::from_millis(10);

/// A log; its copies write to the same sink.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signals that there are lines to write.
    more: Condvar,
    /// Signals that all lines have been written or dropped.
    empty: Condvar,
    /// Lines dropped since the start.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Lines were taken out of the queue and are not all written yet.
    is_writing: bool,
    /// Lines dropped since the last line that said so.
    untold: u64,
}

static PROCESS: OnceLock<Log> = OnceLock::new();

/// The log of this process, to its stderr; started by the first call.
///
/// # Errors
/// When its thread cannot be started.
pub fn of_process() -> io::Result<Log> {
    if let Some(log) = PROCESS.get() {
        return Ok(log.clone());
    }
    // A descriptor of its own, because the standard library holds a lock while it writes to stderr.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let log = Log::start_with(stderr, |_, lines| {
        tracing::warn!(lines, "log lines were dropped: they could not be written, or not fast enough");
    })?;
    Ok(PROCESS.get_or_init(|| log).clone())
}

/// Lines of the process's log that were dropped since the start.
pub fn lines_dropped() -> u64 {
    PROCESS.get().map_or(0, |log| log.0.dropped.load(Ordering::Relaxed))
}

/// Waits until all lines so far are written or dropped, at most a second.
pub fn flush() {
    if let Some(log) = PROCESS.get() {
        log.flush(LAST_WORDS);
    }
}

/// Writes one line to stderr as it is, after the lines logged before; waits at most a second for it.
pub fn last_words(words: &str) {
    match PROCESS.get() {
        Some(log) => {
            log.put(format!("{words}\n").as_bytes());
            log.flush(LAST_WORDS);
        }
        None => {
            // If stderr fails, there is no other place to report to.
            let _ = writeln!(io::stderr(), "{words}");
        }
    }
}

/// Aborts the process, after waiting at most a second for the last lines to be written.
pub fn abort() -> ! {
    flush();
    process::abort()
}

impl Log {
    /// Starts the thread that writes to `sink`. `tell` logs how many lines were dropped.
    fn start_with(sink: impl Write + Send + 'static, tell: impl Fn(&Self, u64) + Send + 'static) -> io::Result<Self> {
        let log = Self(Arc::default());
        let writing = log.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_on(sink, tell))?;
        Ok(log)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the queue, or drops and counts it. Never waits for the sink.
    pub fn put(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.lines.len() >= LINES_MAX || queue.bytes + line.len() > BYTES_MAX {
            queue.untold += 1;
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        drop(queue);
        self.0.more.notify_one();
    }

    /// Waits until all lines are written or dropped, for at most `within`; false if that was not long enough.
    pub fn flush(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut queue = self.lock();
        while queue.is_writing || !queue.lines.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.0.empty.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Lines dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn write_on(&self, mut sink: impl Write, tell: impl Fn(&Self, u64)) {
        let mut lines = VecDeque::new();
        loop {
            self.take(&mut lines);
            let mut is_read = false;
            for line in lines.drain(..) {
                if write_whole(&mut sink, &line).is_ok() {
                    is_read = true;
                } else {
                    // The process goes on without this line.
                    self.lock().untold += 1;
                    self.0.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Only when the reader takes lines: otherwise this line would be dropped too and would have to be reported.
            let untold = if is_read { std::mem::take(&mut self.lock().untold) } else { 0 };
            if untold > 0 {
                tell(self, untold);
            }
        }
    }

    /// Waits for lines and takes all of them.
    fn take(&self, into: &mut VecDeque<Box<[u8]>>) {
        let mut queue = self.lock();
        queue.is_writing = false;
        while queue.lines.is_empty() {
            self.0.empty.notify_all();
            queue = self.0.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_writing = true;
        queue.bytes = 0;
        std::mem::swap(&mut queue.lines, into);
    }
}

/// Each call of the subscriber writes one line.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_whole(sink: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match sink.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A sink that takes one line for each permit, reports it, and fails on the line `fails`.
    struct Reader {
        permits: mpsc::Receiver<()>,
        took: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.permits.recv();
            if line == b"fails\n" {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let _ = self.took.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let ((permit, permits), (took, taken)) = (mpsc::channel(), mpsc::channel());
        (Log::start_with(Reader { permits, took }, |_, _| {}).expect("a thread"), permit, taken)
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_nothing_else() {
        let (mut log, permit, taken) = log();
        let lines = 3 * LINES_MAX;
        for number in 0..lines {
            log.write_all(format!("{number}\n").as_bytes()).expect("a log takes everything");
        }
        let kept = lines - log.dropped() as usize;
        // As many as may wait, and those that the thread had taken before.
        assert!((LINES_MAX..=2 * LINES_MAX).contains(&kept), "{kept}");
        assert!(!log.flush(Duration::ZERO));
        // The reader continues: waiting lines come in order, then new ones.
        drop(permit);
        assert!(log.flush(LONG));
        log.put(b"later\n");
        assert!(log.flush(LONG));
        let got: Vec<Vec<u8>> = taken.try_iter().collect();
        assert_eq!(
            (got.len(), got[0].as_slice(), got[got.len() - 1].as_slice()),
            (kept + 1, &b"0\n"[..], &b"later\n"[..])
        );
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (log, permit, _taken) = log();
        let line = vec![b'x'; BYTES_MAX / 2 + 1];
        (0..10).for_each(|_| log.put(&line));
        assert!(log.dropped() >= 8, "{}", log.dropped());
        drop(permit);
        assert!(log.flush(LONG));
    }

    #[test]
    fn a_reader_that_is_gone_costs_its_lines() {
        let (log, permit, taken) = log();
        drop(permit);
        ["a\n", "fails\n", "b\n"].into_iter().for_each(|line| log.put(line.as_bytes()));
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), 1);
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), [b"a\n", b"b\n"]);
    }

    /// Otherwise each line about lost lines would be lost too, and cause another one.
    #[test]
    fn what_was_lost_is_told_only_if_there_is_a_reader() {
        struct Gone(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);
        impl Write for Gone {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                match self.0.try_recv() {
                    Ok(()) => self.1.send(line.to_vec()).map(|()| line.len()).map_err(|_| io::ErrorKind::Other.into()),
                    Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let ((permit, permits), (took, taken)) = (mpsc::channel(), mpsc::channel());
        let tell = |log: &Log, lines: u64| log.put(format!("{lines} lost\n").as_bytes());
        let log = Log::start_with(Gone(permits, took), tell).expect("a thread");
        for lost in 1..=3 {
            log.put(b"lost\n");
            assert!(log.flush(LONG));
            assert_eq!(log.dropped(), lost);
        }
        (0..2).for_each(|_| permit.send(()).expect("a sink"));
        log.put(b"read\n");
        assert!(log.flush(LONG));
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), [&b"read\n"[..], b"3 lost\n"]);
        assert_eq!(log.dropped(), 3);
    }

    #[test]
    fn a_sink_that_takes_parts_gets_the_whole() {
        struct Slow(Vec<u8>, u32);
        impl Write for Slow {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    _ => {
                        self.0.push(line[0]);
                        Ok(1)
                    }
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Slow(Vec::new(), 0);
        assert!(write_whole(&mut sink, b"abc\n").is_ok());
        assert_eq!(sink.0, b"abc\n");
    }
}
