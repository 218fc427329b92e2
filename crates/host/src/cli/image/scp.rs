//! `berth image scp`: copies an image from this host to another one, back, or between two others, over ssh.
//!
//! ```text
//!  save ──► ssh HOST berth load        ssh HOST berth save ──► load        ssh ONE … save ──► ssh OTHER … load
//! ```

use std::io;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_image::{Destination, LoadOptions, Reference, SaveOptions, Selector};
use berth_sys::error::io_cause;

use crate::cli::load::lines;
use crate::cli::progress::{PullProgress, Style};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(super) const VERB: Verb = Verb::new::<Scp>(
    "scp",
    Group::Images,
    "Copy an image to or from another host, with ssh",
    "[OPTIONS] [[USER@]HOST[:PORT]::]IMAGE [[USER@]HOST[:PORT]::]",
)
.examples(
    "berth image scp app:1 deploy@server.example.com::\n\
     berth image scp server.example.com:2222::app:1\n\
     berth image scp one.example.com::app:1 other.example.com::",
);

/// What stands between a host and an image.
const BORDER: &str = "::";
/// What ssh ends with when it could not do what it was to do; else it ends as the command did.
const NO_CONNECTION: i32 = 255;

/// The flags of `image scp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Scp {
    /// The image, and the host that has it unless it is this one
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    source: String,
    /// The host that gets it, unless it is this one
    #[arg(value_name = "HOST::", hide = true)]
    target: Option<String>,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments for Scp {
    fn run(self, context: &Context) -> Outcome {
        let (from, image) = match self.source.rsplit_once(BORDER) {
            Some((host, image)) => (Some(Remote::parse(host)?), image),
            None => (None, self.source.as_str()),
        };
        let image = one_image(image)?;
        let to = match &self.target {
            Some(text) => Some(target(text)?),
            None => None,
        };
        match (from, to) {
            (None, Some(to)) => self.send(&context.engine()?, &image, &to)?,
            (Some(from), None) => self.fetch(context, &from, &image)?,
            (Some(from), Some(to)) => self.pass(&from, &image, &to)?,
            (None, None) => {
                return Err(Error::new(
                    Class::Invalid,
                    format!("cannot tell where to copy {image}"),
                )
                .hint(format!("berth image scp {image} USER@HOST::")));
            }
        }
        Ok(0)
    }
}

impl Scp {
    fn send(&self, engine: &Engine, image: &str, to: &Remote) -> Result<()> {
        // Looked for first: nobody types a password for nothing.
        engine.find_image(image, None)?;
        let mut there = self.load_at(to, Stdio::piped())?;
        let saved = match there.stdin.take() {
            Some(stdin) => save(engine, image, stdin),
            None => Ok(()),
        };
        let what = format!("cannot copy {image} to {}", to.host);
        let end = ended(&mut there, &what);
        match saved {
            // An end there is why nothing could be sent any more; anything else is why nothing more came there.
            Err(error) if broken_pipe(&error) => end.and(Err(error.context(what))),
            Err(error) => Err(error.context(what)),
            Ok(()) => end,
        }
    }

    fn fetch(&self, context: &Context, from: &Remote, image: &str) -> Result<()> {
        let engine = context.engine()?;
        engine.writable_store()?;
        let mut there = from.save(image)?;
        let style = if self.quiet { Style::None } else { Style::Auto };
        let progress = PullProgress::new(context.screen, style);
        let loaded = match there.stdout.take() {
            Some(stdout) => engine.load(stdout, &wanted(image), &progress),
            None => Ok(Vec::new()),
        };
        progress.clear();
        let what = format!("cannot copy {image} from {}", from.host);
        let end = ended(&mut there, &what);
        let loaded = match loaded {
            Ok(loaded) => end.map(|()| loaded)?,
            // What cannot be written here is why nobody took it; half an archive is what an end there leaves.
            Err(error) if io_cause(&error).is_some() => return Err(error.context(what)),
            Err(error) => return end.and(Err(error.context(what))),
        };
        if !self.quiet {
            context.screen.data(&lines(&loaded))?;
        }
        Ok(())
    }

    fn pass(&self, from: &Remote, image: &str, to: &Remote) -> Result<()> {
        let mut source = from.save(image)?;
        let between = source.stdout.take().map_or_else(Stdio::null, Stdio::from);
        let mut target = match self.load_at(to, between) {
            Ok(target) => target,
            Err(error) => {
                // It has nobody to send to.
                drop(source.kill());
                drop(source.wait());
                return Err(error);
            }
        };
        let sent = ended(
            &mut source,
            &format!("cannot copy {image} from {}", from.host),
        );
        let taken = ended(&mut target, &format!("cannot copy {image} to {}", to.host));
        // Who was sent half an archive complains of that: what came first is why.
        sent.and(taken)
    }

    fn load_at(&self, to: &Remote, input: Stdio) -> Result<Child> {
        let output = match self.quiet {
            true => Stdio::null(),
            false => Stdio::inherit(),
        };
        to.start("berth load --quiet", (input, output))
    }
}

/// What of an archive from there is taken: of a host that sends more than it was asked for, no other name.
fn wanted(image: &str) -> LoadOptions {
    let name = Reference::parse(image).ok().filter(|_| !is_id(image));
    LoadOptions {
        select: name.map(|name| Selector::Name(name.to_string())),
        ..LoadOptions::default()
    }
}

fn broken_pipe(error: &Error) -> bool {
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn save(engine: &Engine, image: &str, mut stdin: ChildStdin) -> Result<()> {
    let names = [image.to_owned()];
    let stream = Destination::Stream(&mut stdin);
    engine.save(&names, &SaveOptions::default(), stream)
}

/// Another host, as it is written for `ssh`.
#[derive(Debug, PartialEq, Eq)]
struct Remote {
    /// `USER@HOST`, or an alias of ssh's configuration.
    host: String,
    port: Option<u16>,
}

impl Remote {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(Class::Invalid, format!("{text:?} is no host"))
                .hint("write it as USER@HOST:: or HOST:PORT::")
        };
        // The port is behind the last colon, unless that is within an address of IPv6.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port))
                if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) =>
            {
                (host, Some(port.parse().map_err(|_invalid| invalid())?))
            }
            _ => (text, None),
        };
        let host = host.replace(['[', ']'], "");
        let character = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@:%+".contains(&byte);
        // ssh must not take it for a flag.
        let plain = !host.is_empty() && !host.starts_with('-') && host.bytes().all(character);
        match plain {
            true => Ok(Self { host, port }),
            false => Err(invalid()),
        }
    }

    fn save(&self, image: &str) -> Result<Child> {
        // A name has nothing that a shell would take for anything else.
        self.start(
            &format!("berth save {image}"),
            (Stdio::null(), Stdio::piped()),
        )
    }

    /// Runs a command there.
    fn start(&self, command: &str, (input, output): (Stdio, Stdio)) -> Result<Child> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-T");
        if let Some(port) = self.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.args(["--", &self.host, command]);
        ssh.stdin(input).stdout(output);
        ssh.spawn().map_err(|error| {
            let message = format!("cannot reach {}", self.host);
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "install an ssh client",
                _ => "look whether ssh works by itself",
            };
            Error::new(Class::Unavailable, message)
                .caused_by(format!("ssh cannot be started: {error}"))
                .hint(hint)
        })
    }
}

/// Waits for a command there; what went wrong it has told itself.
fn ended(there: &mut Child, what: &str) -> Result<()> {
    let status: ExitStatus = there.wait().map_err(|error| {
        Error::new(Class::Internal, what).caused_by(format!("ssh is lost: {error}"))
    })?;
    if status.success() {
        return Ok(());
    }
    let error = Error::new(Class::Unavailable, what);
    Err(match status.code() {
        Some(NO_CONNECTION) => error.caused_by("ssh could not connect, or the connection broke"),
        Some(127) => error
            .caused_by("there is no berth")
            .hint("install berth there, where ssh finds it"),
        _ => error.caused_by(format!("berth failed there: {status}")),
    })
}

/// The host that gets an image; it keeps its name.
fn target(text: &str) -> Result<Remote> {
    match text.rsplit_once(BORDER) {
        Some((host, "")) => Remote::parse(host),
        Some((host, _)) => {
            Err(
                Error::new(Class::Invalid, "an image that is copied keeps its name").hint(format!(
                    "{host}:: is the host; berth tag gives an image a further name"
                )),
            )
        }
        None => Err(
            Error::new(Class::Invalid, format!("cannot tell what {text} is"))
                .hint(format!("a host is written as {text}::")),
        ),
    }
}

/// One image by its name with a tag, or by its id; `save` would take a repository for all its tags.
fn one_image(text: &str) -> Result<String> {
    let id = text.strip_prefix("sha256:").unwrap_or(text);
    if is_id(id) {
        return Ok(id.to_owned());
    }
    Ok(Reference::parse(text)?.familiar())
}

fn is_id(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (12..=64).contains(&text.len()) && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_users_names_and_ports() {
        let parse = |text: &str| {
            let remote = Remote::parse(text).ok()?;
            Some(format!("{} {:?}", remote.host, remote.port))
        };
        for (text, expected) in [
            ("server", "server None"),
            ("me@server.test:2222", "me@server.test Some(2222)"),
            ("[fe80::1]", "fe80::1 None"),
            ("me@[fe80::1%eth0]:22", "me@fe80::1%eth0 Some(22)"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a;b",
            "a:b",
            "a:99999",
            "$(x)",
            ":22",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_image_is_meant() {
        assert_eq!(one_image("busybox").unwrap(), "busybox:latest");
        assert_eq!(one_image("r.test/a:1").unwrap(), "r.test/a:1");
        assert_eq!(one_image("0123456789ab").unwrap(), "0123456789ab");
        assert_eq!(one_image("abc").unwrap(), "abc:latest");
        assert!(one_image("a;b").is_err());
    }
}
