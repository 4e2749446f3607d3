//! A trace is read as it is needed: memory does not grow with it.

use super::spec;
use dryscale::random::Streams;
use dryscale::units::{SimDuration, SimTime};
use dryscale::workload::Workload;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A trace that is made up while it is read: ten requests a second.
struct MadeUp {
    lines: u64,
    made: Arc<AtomicU64>,
    line: Vec<u8>,
}

impl Read for MadeUp {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.line.is_empty() {
            self.line = match self.made.fetch_add(1, Ordering::Relaxed) {
                0 => b"timestamp,prompt_tokens,output_tokens\n".to_vec(),
                i if i <= self.lines => format!("{}.{},100,10\n", i / 10, i % 10).into_bytes(),
                _ => return Ok(0),
            };
        }
        let n = into.len().min(self.line.len());
        into[..n].copy_from_slice(&self.line[..n]);
        self.line.drain(..n);
        Ok(n)
    }
}

/// Replays so many lines; no request may come when more than `ahead` later lines have been read. Gives the requests' number.
fn replay(lines: u64, ahead: u64, keys: &str) -> u64 {
    let made = Arc::new(AtomicU64::new(0));
    let reader = MadeUp { lines, made: made.clone(), line: Vec::new() };
    let mut reader = Some(Box::new(BufReader::with_capacity(64, reader)) as Box<dyn std::io::BufRead + Send>);
    let spec = spec(&format!("[[source]]\nkind = 'replay'\nfile = 'trace'\n{keys}"));
    let mut workload =
        Workload::new(&spec, &Streams::new(1), SimDuration::from_secs(100 * 86_400), &mut |_| {
            Ok(reader.take().expect("the trace is opened once"))
        })
        .expect("the trace begins well");
    let (mut sent, mut last) = (0u64, SimTime::ZERO);
    while let Some(request) = workload.next_request().expect("the trace is good") {
        assert!(request.sent >= last, "requests are in order");
        last = request.sent;
        sent += 1;
        let found = made.load(Ordering::Relaxed).saturating_sub(request.sent.as_millis() / 100);
        assert!(found <= ahead, "{found} lines have been read ahead of request {sent}");
    }
    assert_eq!(workload.trace_end(), Some(last));
    sent
}

#[test]
fn two_million_lines_are_read_one_by_one() {
    // The line of the request itself, the next one, and what a buffer of 64 bytes takes.
    assert_eq!(replay(2_000_000, 6, ""), 2_000_000);
}

#[test]
fn requests_are_held_back_no_longer_than_they_are_shifted() {
    // Two shifts of up to 3 s at ten requests a second.
    let keys = "dejitter = '3s'\nlengths = { max_input = 50 }\n\
                rate_scale = { factor = 1.5, mode = 'superpose', jitter = '3s' }";
    let sent = replay(50_000, 66, keys);
    assert!((74_000..76_000).contains(&sent), "{sent}");
}
