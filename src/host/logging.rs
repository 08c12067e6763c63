//! A log that nobody waits for: lines go into a bounded queue, and a thread of its own writes them.
//!
//! Whoever reads the log decides neither how long code runs nor whether the process lives. A reader that stands still stops
//! this thread and nothing else; one that is gone (EPIPE) costs the lines. What finds the queue full, or cannot be written,
//! is dropped and counted, and how much that was is the next line that is written. Knows lines and a sink; no format and no
//! level.

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

/// Lines that wait at most.
const LINES_MAX: usize = 16_384;
/// Bytes of lines that wait at most.
const BYTES_MAX: usize = 4 << 20;
/// The end of the process waits so long for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A sink that takes nothing without waiting (a pipe that somebody made non-blocking) is tried again after this.
const RETRY: Duration = Duration::from_millis(10);

/// A log; its copies write to the same sink.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    more: Condvar,
    /// Everything has been written.
    empty: Condvar,
    /// Since the start.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Lines were taken out and are not all written yet.
    is_writing: bool,
    /// Dropped since that was last told.
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
    // A descriptor of its own: whoever writes to stderr by the standard library holds a lock meanwhile.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let log = Log::start_with(stderr, |_, lines| {
        tracing::warn!(lines, "log lines were dropped: they could not be written, or not fast enough");
    })?;
    Ok(PROCESS.get_or_init(|| log).clone())
}

/// Lines of the process's log that nobody will read.
pub fn lines_dropped() -> u64 {
    PROCESS.get().map_or(0, |log| log.0.dropped.load(Ordering::Relaxed))
}

/// Waits a second for the lines that were put so far, whether they can be written or not.
pub fn flush() {
    if let Some(log) = PROCESS.get() {
        log.flush(LAST_WORDS);
    }
}

/// One line to stderr as it is, behind what was logged before; waits a second for it, no longer.
pub fn last_words(words: &str) {
    match PROCESS.get() {
        Some(log) => {
            log.put(format!("{words}\n").as_bytes());
            log.flush(LAST_WORDS);
        }
        None => {
            // Nobody is left to be told if stderr is gone.
            let _ = writeln!(io::stderr(), "{words}");
        }
    }
}

/// Ends the process at once, as a panic would, when the last lines are out or a second has passed.
pub fn abort() -> ! {
    flush();
    process::abort()
}

impl Log {
    /// `tell` logs how many lines were dropped, in whatever form lines have.
    fn start_with(sink: impl Write + Send + 'static, tell: impl Fn(&Self, u64) + Send + 'static) -> io::Result<Self> {
        let log = Self(Arc::default());
        let writing = log.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_on(sink, tell))?;
        Ok(log)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line into the queue, or drops and counts it. Never waits for the sink.
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

    /// Whether everything was written, or dropped, within that time.
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
                    // What the line was part of, the process, goes on without it.
                    self.lock().untold += 1;
                    self.0.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Only to somebody who reads: else the word itself would be dropped, and would have to be told of.
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

/// What the subscriber writes at once is one line.
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

    /// Takes a line for each permission, tells what it took, and fails on those that say so.
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
        // As many as may wait, and what the thread had taken before that.
        assert!((LINES_MAX..=2 * LINES_MAX).contains(&kept), "{kept}");
        assert!(!log.flush(Duration::ZERO));
        // It reads on: what waited comes in its order, and then what is new.
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

    /// Each word about a lost line would be lost too, and there would be no end of it.
    #[test]
    fn what_was_lost_is_told_only_to_somebody_who_reads() {
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
