//! The buffers of a connection that stays for as long as a log is followed, most of the time with nothing
//! in them: there may be hundreds.

use std::mem::take;

use ureq::unversioned::transport::Buffers;

use super::transport::BUFFER_BYTES;

/// Room for input at first; more is taken where the head of an answer needs it.
const INPUT: usize = 8 << 10;

/// Buffers that are small, and without one for output once the request is sent.
#[derive(Debug)]
pub(super) struct StreamBuffers {
    /// What came and was not used is at `begin..end`.
    input: Vec<u8>,
    begin: usize,
    end: usize,
    output: Vec<u8>,
    output_size: usize,
    /// Something was used since input came last.
    is_used: bool,
}

impl StreamBuffers {
    /// Nothing is allocated yet; so much for output when it is needed.
    pub(super) fn new(output_size: usize) -> Self {
        Self {
            input: Vec::new(),
            begin: 0,
            end: 0,
            output: Vec::new(),
            output_size,
            is_used: false,
        }
    }
}

impl Buffers for StreamBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(self.output_size, 0);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.begin..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        // Who waits for input has sent what there was.
        drop(take(&mut self.output));
        if self.begin > 0 {
            self.input.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.end == self.input.len() {
            let more = (self.input.len() * 2).clamp(INPUT, BUFFER_BYTES);
            self.input.resize(more, 0);
        }
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.begin += amount;
        self.is_used = amount > 0;
    }

    /// For a body of unknown length, which is not sent here; it asks for both all the same.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.input.resize(self.input.len().max(INPUT), 0);
        self.output.resize(self.output_size, 0);
        (&mut self.input[self.end..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.begin < self.end && self.is_used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffers: &mut StreamBuffers, bytes: &[u8]) -> usize {
        let room = buffers.input_append_buf();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffers.input_appended(count);
        count
    }

    #[test]
    fn input_comes_out_as_it_went_in_and_grows_where_it_must() {
        let mut buffers = StreamBuffers::new(100);
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        // Nothing is used, as of a head that is not complete.
        let mut filled = 0;
        while filled < BUFFER_BYTES {
            filled += fill(&mut buffers, &bytes[filled..]);
            assert!(!buffers.can_use_input(), "more has to come first");
        }
        assert_eq!(fill(&mut buffers, &bytes[filled..]), 0, "that is the most");
        let mut out = Vec::new();
        while out.len() < bytes.len() {
            let part = buffers.input().len().min(1000);
            out.extend_from_slice(&buffers.input()[..part]);
            buffers.input_consume(part);
            assert_eq!(buffers.can_use_input(), !buffers.input().is_empty());
            filled += fill(&mut buffers, &bytes[filled..]);
        }
        assert_eq!(out, bytes);
        buffers.input_consume(0);
        assert!(!buffers.can_use_input());
    }

    #[test]
    fn output_takes_memory_only_until_an_answer_is_waited_for() {
        let mut buffers = StreamBuffers::new(100);
        assert_eq!(buffers.output().len(), 100);
        buffers.input_append_buf();
        assert_eq!(buffers.output.capacity(), 0);
        let (tmp, output) = buffers.tmp_and_output();
        assert!(tmp.len() >= INPUT && output.len() == 100);
    }
}
