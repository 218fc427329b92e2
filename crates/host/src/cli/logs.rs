//! `berth logs`: what containers wrote, stream by stream.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use berth_contract::{Class, ContainerId, Error, Result};
use berth_host::Engine;
use berth_host::engine::{LogLine, LogOptions, Stream};
use berth_host::format::template::escape_query;
use berth_host::format::time::{parse_moment, rfc3339};

use super::{Arguments, Context, Group, Outcome, Screen, Verb};

pub(crate) const VERB: Verb = Verb::new::<Logs>(
    "logs",
    Group::Run,
    "Print what containers wrote",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.aliases(&["log"])
.examples(
    "berth logs web\n\
     berth logs -f --tail 20 web\n\
     berth logs -t --since 10m web db",
);

/// The flags of `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    names: Vec<String>,
    #[command(flatten)]
    shape: Shape,
    /// Go on with what comes, until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Begin here: 2006-01-02T15:04:05Z, 10m (ago), or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End here
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Begin with the last NUMBER lines, or all
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "all",
        hide_default_value = true
    )]
    tail: String,
}

/// What is printed beside the lines themselves.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Shape {
    /// Print when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Print the attributes given by --log-opt
    #[arg(long)]
    details: bool,
}

impl Arguments for Logs {
    fn run(self, context: &Context) -> Outcome {
        let options = self.options(context)?;
        let engine = context.engine()?;
        let ids = self
            .names
            .iter()
            .map(|name| engine.find(name))
            .collect::<Result<Vec<_>>>()?;
        if let [id] = ids.as_slice() {
            return one(context.screen, &engine, id, &options, self.shape);
        }
        let width = self
            .names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let prefixes: Vec<String> = self
            .names
            .iter()
            .map(|name| format!("{name:<width$} | "))
            .collect();
        several(
            context.screen,
            &engine,
            &ids,
            &prefixes,
            (&options, self.shape),
        )
    }
}

impl Logs {
    fn options(&self, context: &Context) -> Result<LogOptions> {
        let now = berth_sys::clock::realtime();
        let zone = berth_host::zone::local(context.environment.text("TZ"));
        let moment = |text: &Option<String>| {
            text.as_deref()
                .map(|text| parse_moment(text, now, &zone))
                .transpose()
        };
        let tail = match self.tail.as_str() {
            "all" => None,
            // As in Docker, a negative number means all.
            text => match text.parse::<i64>() {
                Ok(count) => usize::try_from(count).ok(),
                Err(error) => {
                    return Err(
                        Error::new(Class::Invalid, format!("invalid --tail {text:?}"))
                            .caused_by(error)
                            .hint("give a number of lines, or all"),
                    );
                }
            },
        };
        Ok(LogOptions {
            stdout: true,
            stderr: true,
            follow: self.follow,
            since: moment(&self.since)?,
            until: moment(&self.until)?,
            tail,
        })
    }
}

/// One container: its standard output to ours, its standard error to ours.
fn one(
    screen: Screen,
    engine: &Engine,
    id: &ContainerId,
    options: &LogOptions,
    shape: Shape,
) -> Outcome {
    let mut logs = engine.logs(id, options)?;
    let mut stdout = screen.writer();
    let mut stderr = BufWriter::with_capacity(64 * 1024, io::stderr());
    let mut last = Stream::Stdout;
    let mut damaged = false;
    loop {
        // What is read before waiting, or before the other stream speaks, is shown first.
        let waits = options.follow && !logs.has_line();
        if waits && finished(flush(&mut stdout, &mut stderr, last))? {
            return Ok(0);
        }
        let line = match logs.next() {
            None => break,
            Some(Ok(line)) => line,
            Some(Err(error)) => {
                damaged = true;
                screen.fail(&error);
                continue;
            }
        };
        if line.stream != last && finished(flush(&mut stdout, &mut stderr, last))? {
            return Ok(0);
        }
        last = line.stream;
        let written = match line.stream {
            Stream::Stdout => write_line(&mut stdout, "", &line, shape),
            Stream::Stderr => write_line(&mut stderr, "", &line, shape),
        };
        if finished(written)? {
            return Ok(0);
        }
    }
    finished(flush(&mut stdout, &mut stderr, last))?;
    Ok(u8::from(damaged))
}

/// Several containers: each on its own thread, because each may have to be waited for.
fn several(
    screen: Screen,
    engine: &Engine,
    ids: &[ContainerId],
    prefixes: &[String],
    (options, shape): (&LogOptions, Shape),
) -> Outcome {
    let copy = |id: &ContainerId, prefix: &str| -> Outcome {
        let mut damaged = false;
        for line in engine.logs(id, options)? {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    damaged = true;
                    screen.fail(&error);
                    continue;
                }
            };
            let mut text = Vec::with_capacity(prefix.len() + line.text.len() + 32);
            let complete = write_line(&mut text, prefix, &line, shape);
            let written = complete.and_then(|()| match line.stream {
                Stream::Stdout => io::stdout().lock().write_all(&text),
                Stream::Stderr => io::stderr().lock().write_all(&text),
            });
            if finished(written)? {
                break;
            }
        }
        Ok(u8::from(damaged))
    };
    if !options.follow {
        let mut status = 0;
        for (id, prefix) in ids.iter().zip(prefixes) {
            status |= copy(id, prefix)?;
        }
        return Ok(status);
    }
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = ids
            .iter()
            .zip(prefixes)
            .map(|(id, prefix)| scope.spawn(|| copy(id, prefix)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    });
    outcomes
        .into_iter()
        .try_fold(0, |status, outcome| outcome.map(|new| status | new))
}

fn flush(stdout: &mut impl Write, stderr: &mut impl Write, last: Stream) -> io::Result<()> {
    match last {
        Stream::Stdout => stdout.flush(),
        Stream::Stderr => stderr.flush(),
    }
}

/// Whether the reader has left, which ends the output quietly.
fn finished(written: io::Result<()>) -> Result<bool> {
    let left = written
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    super::screen::outcome(written).map(|()| left)
}

fn write_line(
    output: &mut impl Write,
    prefix: &str,
    line: &LogLine,
    shape: Shape,
) -> io::Result<()> {
    if !prefix.is_empty() {
        output.write_all(prefix.as_bytes())?;
    }
    if shape.timestamps {
        output.write_all(nine_decimals(&line.time).as_bytes())?;
        output.write_all(b" ")?;
    }
    if shape.details {
        output.write_all(attributes(&line.attributes).as_bytes())?;
        output.write_all(b" ")?;
    }
    output.write_all(&line.text)?;
    if !prefix.is_empty() && !line.text.ends_with(b"\n") {
        output.write_all(b"\n")?;
    }
    Ok(())
}

/// Log files leave trailing zeros out; the screen shows nine decimals, so that lines align.
fn nine_decimals(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(timestamp) => rfc3339(u64::try_from(timestamp.as_nanosecond()).unwrap_or(0)),
        Err(_) => time.to_owned(),
    }
}

/// Attributes as Docker prints them: `a=1,b=2`, escaped as in a URL's query.
fn attributes(attributes: &BTreeMap<String, String>) -> String {
    let pairs = attributes
        .iter()
        .map(|(key, value)| format!("{}={}", escape_query(key), escape_query(value)));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prefix: &str, (timestamps, details): (bool, bool)) -> String {
        let line = LogLine {
            stream: Stream::Stdout,
            time: "2026-01-02T03:04:05.5Z".to_owned(),
            attributes: [("tag".to_owned(), "a b".to_owned())].into(),
            text: b"hello\n".to_vec(),
        };
        let shape = Shape {
            timestamps,
            details,
        };
        let mut output = Vec::new();
        write_line(&mut output, prefix, &line, shape).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn lines_are_as_docker_prints_them() {
        assert_eq!(shown("", (false, false)), "hello\n");
        assert_eq!(
            shown("", (true, false)),
            "2026-01-02T03:04:05.500000000Z hello\n"
        );
        assert_eq!(shown("", (false, true)), "tag=a+b hello\n");
        assert_eq!(
            shown("web | ", (true, true)),
            "web | 2026-01-02T03:04:05.500000000Z tag=a+b hello\n"
        );
    }
}
