//! Where in a log's files reading begins, found without reading all of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::{BLOCK, entry};
use crate::engine::LogOptions;

/// The index of the first file to read and the offset in it. `files` are oldest first.
pub(super) fn beginning(files: &[File], options: &LogOptions) -> io::Result<(usize, u64)> {
    let tail = match options.tail {
        Some(count) => last_lines(files, count)?,
        None => (0, 0),
    };
    let since = match options.since {
        Some(moment) => first_since(files, moment)?,
        None => (0, 0),
    };
    Ok(tail.max(since))
}

/// Where the last `count` lines begin.
fn last_lines(files: &[File], count: usize) -> io::Result<(usize, u64)> {
    let mut missing = count;
    if count == 0 {
        let Some(newest) = files.last() else {
            return Ok((0, 0));
        };
        // Whatever the newest file's last line lacks is still being written: it counts as new.
        return Ok((files.len() - 1, last_line_end(newest)?));
    }
    for (index, file) in files.iter().enumerate().rev() {
        let mut end = last_line_end(file)?;
        // The end of the last line is no beginning of another.
        let mut skip_last = true;
        let mut block = vec![0; BLOCK];
        while end > 0 {
            let begin = end.saturating_sub(BLOCK as u64);
            let block = &mut block[..usize::try_from(end - begin).unwrap_or(BLOCK)];
            file.read_exact_at(block, begin)?;
            for (offset, byte) in block.iter().enumerate().rev() {
                if *byte != b'\n' {
                    continue;
                }
                if std::mem::take(&mut skip_last) {
                    continue;
                }
                missing -= 1;
                if missing == 0 {
                    return Ok((index, begin + offset as u64 + 1));
                }
            }
            end = begin;
        }
        // The first line of a file begins at 0.
        if !skip_last {
            missing -= 1;
            if missing == 0 {
                return Ok((index, 0));
            }
        }
    }
    Ok((0, 0))
}

/// The offset behind the last `\n`.
fn last_line_end(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..usize::try_from(end - begin).unwrap_or(BLOCK)];
        file.read_exact_at(block, begin)?;
        if let Some(offset) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + offset as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// A place at or before the first line of `moment` or later, near enough to read on from there.
fn first_since(files: &[File], moment: u64) -> io::Result<(usize, u64)> {
    // The first file whose end is not before the moment; older ones hold nothing wanted.
    let mut index = 0;
    for (candidate, file) in files.iter().enumerate() {
        index = candidate;
        let length = file.metadata()?.len();
        let newest = latest_in_block(file, length.saturating_sub(BLOCK as u64))?;
        if newest.is_none_or(|newest| newest >= moment) {
            break;
        }
    }
    let Some(file) = files.get(index) else {
        return Ok((0, 0));
    };
    // Every line before `low` is too old. A block is judged by its latest line, because the pieces of
    // a long line carry the time of its beginning and may stand behind younger lines.
    let (mut low, mut high) = (0, file.metadata()?.len() / BLOCK as u64);
    while low < high {
        let middle = low.midpoint(high);
        match latest_in_block(file, middle * BLOCK as u64)? {
            Some(latest) if latest < moment => low = middle + 1,
            _ => high = middle,
        }
    }
    // One block back, for the line that reaches over the block's end.
    line_start(file, low.saturating_sub(1) * BLOCK as u64).map(|start| (index, start))
}

/// The latest time among the lines that end within a block; `None` if none does.
fn latest_in_block(file: &File, begin: u64) -> io::Result<Option<u64>> {
    let start = line_start(file, begin)?;
    let mut block = vec![0; BLOCK];
    let count = file.read_at(&mut block, start)?;
    let lines = block[..count].split_inclusive(|byte| *byte == b'\n');
    let complete = lines.filter_map(|line| line.strip_suffix(b"\n"));
    Ok(complete.filter_map(entry::time_of).max())
}

/// The beginning of the first line at or behind an offset.
fn line_start(file: &File, offset: u64) -> io::Result<u64> {
    if offset == 0 {
        return Ok(0);
    }
    let mut at = offset - 1;
    let mut block = vec![0; BLOCK];
    loop {
        let count = file.read_at(&mut block, at)?;
        if count == 0 {
            return Ok(at);
        }
        if let Some(found) = block[..count].iter().position(|byte| *byte == b'\n') {
            return Ok(at + found as u64 + 1);
        }
        at += count as u64;
    }
}
