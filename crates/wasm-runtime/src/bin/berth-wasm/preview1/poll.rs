//! `poll_oneoff` over sockets, beside clocks and the standard streams.
//!
//! ```text
//! subscription, 48 bytes: userdata 0 · tag 8 (0 clock, 1 read, 2 write) · descriptor 16
//!                         clock 16 · timeout 24 · precision 32 · flags 40 (1: absolute)
//! event, 32 bytes:        userdata 0 · errno 8 · type 10 · bytes 16 · flags 24
//! ```

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use berth_sys::clock;
use tokio::time::{Sleep, sleep};
use wasmtime::Caller;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::State;
use super::aside::Aside;
use super::memory::{BADF, Errno, FAULT, INVAL, Memory, SUCCESS, bytes, split};
use super::sockets::{Socket, Sockets, is_socket};
use crate::streams::Input;

const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;
/// More subscriptions than this are refused; libraries make one for each descriptor.
const MOST: u32 = 16 * 1024;

/// What one subscription waits for.
enum Wait {
    Clock(Pin<Box<Sleep>>),
    Read(i32),
    Write(i32),
}

struct Subscription {
    userdata: [u8; 8],
    tag: u8,
    wait: Wait,
}

/// Waits for the first of the guest's subscriptions.
pub(super) async fn poll(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (subscriptions, events, count, place) = arguments;
    let (memory, state) = bytes(&mut caller)?;
    let parsed = parse(
        &memory,
        &state.sockets,
        subscriptions.cast_unsigned(),
        count.cast_unsigned(),
    );
    let mut waiting = match parsed {
        Ok(Some(waiting)) => waiting,
        // No socket among them: wasmtime's own function knows files better.
        Ok(None) => {
            let (mut memory, state) = split(&mut caller)?;
            return preview1::poll_oneoff(
                &mut state.wasi,
                &mut memory,
                subscriptions,
                events,
                count,
                place,
            )
            .await;
        }
        Err(errno) => return Ok(errno),
    };
    for subscription in &waiting {
        if let Wait::Read(number) | Wait::Write(number) = subscription.wait
            && !is_open(&mut caller, number).await?
        {
            return Ok(BADF);
        }
    }
    let sockets = &caller.data().sockets;
    let ready = poll_fn(|context| {
        let ready: Vec<usize> = (0..waiting.len())
            .filter(|index| is_ready(&mut waiting[*index].wait, sockets, context))
            .collect();
        if ready.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(ready)
        }
    })
    .await;
    let (mut memory, _) = bytes(&mut caller)?;
    let result = write(
        &mut memory,
        &waiting,
        &ready,
        events.cast_unsigned(),
        place.cast_unsigned(),
    );
    Ok(result.err().unwrap_or(SUCCESS))
}

/// Whether a number means anything to the guest.
async fn is_open(caller: &mut Caller<'_, State>, number: i32) -> wasmtime::Result<bool> {
    let state = caller.data_mut();
    if state.sockets.get(number).is_some() {
        return Ok(true);
    }
    let mut aside = Aside::new();
    let result = aside.result();
    let memory = &mut aside.memory();
    let errno = preview1::fd_fdstat_get(&mut state.wasi, memory, number, result).await?;
    Ok(errno == SUCCESS)
}

/// The subscriptions, or `None` when there is no socket among them.
fn parse(
    memory: &Memory<'_>,
    sockets: &Sockets,
    start: u32,
    count: u32,
) -> Result<Option<Vec<Subscription>>, Errno> {
    if count == 0 || count > MOST {
        return Err(INVAL);
    }
    let at = |index: u32| {
        index
            .checked_mul(SUBSCRIPTION)
            .and_then(|offset| start.checked_add(offset))
            .ok_or(FAULT)
    };
    let mut any = false;
    for index in 0..count {
        any |= is_socket(memory, sockets, at(index)?)?;
    }
    if !any {
        return Ok(None);
    }
    (0..count)
        .map(|index| subscription(memory, at(index)?))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn subscription(memory: &Memory<'_>, at: u32) -> Result<Subscription, Errno> {
    let field = |offset: u32| at.checked_add(offset).ok_or(FAULT);
    let [tag] = memory.get(field(8)?)?;
    let wait = match tag {
        0 => {
            let timeout = u64::from_le_bytes(memory.get(field(24)?)?);
            let is_absolute = u16::from_le_bytes(memory.get(field(40)?)?) & 1 == 1;
            let now = match (is_absolute, memory.word(field(16)?)?) {
                (false, _) => 0,
                (true, 0) => clock::realtime(),
                (true, _) => u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX),
            };
            Wait::Clock(Box::pin(sleep(Duration::from_nanos(
                timeout.saturating_sub(now),
            ))))
        }
        1 => Wait::Read(memory.word(field(16)?)?.cast_signed()),
        2 => Wait::Write(memory.word(field(16)?)?.cast_signed()),
        _ => return Err(INVAL),
    };
    Ok(Subscription {
        userdata: memory.get(at)?,
        tag,
        wait,
    })
}

fn is_ready(wait: &mut Wait, sockets: &Sockets, context: &mut Context<'_>) -> bool {
    match wait {
        Wait::Clock(sleep) => sleep.as_mut().poll(context).is_ready(),
        Wait::Read(0) => Input::shared().poll_ready(context).is_ready(),
        Wait::Read(number) => match sockets.get(*number) {
            Some(Socket::Listener(listener, _)) => listener.poll_read_ready(context).is_ready(),
            Some(Socket::Connection(stream, _)) => stream.poll_read_ready(context).is_ready(),
            // Files are always ready.
            None => true,
        },
        Wait::Write(number) => match sockets.get(*number) {
            Some(Socket::Connection(stream, _)) => stream.poll_write_ready(context).is_ready(),
            Some(Socket::Listener(..)) => false,
            None => true,
        },
    }
}

fn write(
    memory: &mut Memory<'_>,
    waiting: &[Subscription],
    ready: &[usize],
    events: u32,
    place: u32,
) -> Result<(), Errno> {
    let mut at = events;
    for index in ready {
        let subscription = waiting.get(*index).ok_or(BADF)?;
        let mut event = [0; EVENT as usize];
        event[..8].copy_from_slice(&subscription.userdata);
        event[10] = subscription.tag;
        // How much is there is not known; one byte or the end of the stream is.
        event[16] = u8::from(subscription.tag != 0);
        memory.put(at, &event)?;
        at = at.checked_add(EVENT).ok_or(FAULT)?;
    }
    let count = u32::try_from(ready.len()).map_err(|_| INVAL)?;
    memory.put(place, &count.to_le_bytes())
}
