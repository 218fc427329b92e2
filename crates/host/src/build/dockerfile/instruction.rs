//! The instructions of a Dockerfile as typed values. Text that may hold variables is kept as it is
//! written; expanding it is the stage's business, which knows their values.

use super::heredoc::Heredoc;
use super::mount::Mount;
use super::position::Lines;

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What it says.
    pub instruction: Instruction,
    /// Its name as it is written.
    pub keyword: String,
    /// Where it stands.
    pub lines: Lines,
    /// The comment directly above it.
    pub comments: Vec<String>,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Begins a stage.
    From(From),
    /// Executes a command.
    Run(Run),
    /// Puts files into the image.
    Copy(Copy),
    /// Sets environment variables.
    Env(Pairs),
    /// Sets labels.
    Label(Pairs),
    /// Declares ports.
    Expose(Vec<String>),
    /// Sets who the programs run as.
    User(String),
    /// Sets the working directory.
    Workdir(String),
    /// Declares volumes.
    Volume(Vec<String>),
    /// Sets the signal that asks the program to stop.
    StopSignal(String),
    /// Sets what the shell form of commands uses.
    Shell(Vec<String>),
    /// Sets the program's arguments, or the program.
    Cmd(Command),
    /// Sets the program.
    Entrypoint(Command),
    /// Says how to ask whether the program is well.
    Healthcheck(Healthcheck),
    /// Keeps an instruction for images that are made from this one.
    Onbuild(Onbuild),
    /// Declares build arguments.
    Arg(Vec<Argument>),
    /// Names the author; out of use.
    Maintainer(String),
}

impl Instruction {
    /// Its name in upper case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::From(_) => "FROM",
            Self::Run(_) => "RUN",
            Self::Copy(copy) => copy.verb(),
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Expose(_) => "EXPOSE",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::Volume(_) => "VOLUME",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::Shell(_) => "SHELL",
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Onbuild(_) => "ONBUILD",
            Self::Arg(_) => "ARG",
            Self::Maintainer(_) => "MAINTAINER",
        }
    }
}

/// `FROM [--platform=P] BASE [AS NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The platform, as it is written.
    pub platform: Option<String>,
    /// The image, stage or named context, as it is written.
    pub base: String,
    /// The stage's name, and the word before it as it is written.
    pub alias: Option<(String, String)>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// `RUN`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is mounted meanwhile.
    pub mounts: Vec<Mount>,
    /// Which network there is meanwhile.
    pub network: Network,
    /// Whether it is confined.
    pub security: Security,
    /// The devices it is given.
    pub devices: Vec<Device>,
    /// What is executed.
    pub command: Command,
    /// The here-documents of a shell command.
    pub heredocs: Vec<Heredoc>,
}

/// The network of a `RUN`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// The build's.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// The confinement of a `RUN`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// A container's.
    #[default]
    Sandbox,
    /// None.
    Insecure,
}

/// `--device=NAME[,required]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// What it is called in the host's CDI files.
    pub name: String,
    /// Whether the build fails without it.
    pub required: bool,
}

/// `COPY` or `ADD`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Copy {
    /// Whether it is `ADD`.
    pub add: bool,
    /// The stage, image or named context the files come from.
    pub from: Option<String>,
    /// The files' new owner.
    pub chown: Option<String>,
    /// The files' new mode.
    pub chmod: Option<String>,
    /// Whether the layer is made without looking at what is below.
    pub link: bool,
    /// Whether the sources' parent directories are kept.
    pub parents: bool,
    /// What is left out.
    pub exclude: Vec<String>,
    /// What the content must be.
    pub checksum: Option<String>,
    /// Whether archives are unpacked, if it is said.
    pub unpack: Option<bool>,
    /// Whether `.git` is kept of a repository.
    pub keep_git_dir: Option<bool>,
    /// What is copied, here-documents not among it.
    pub sources: Vec<String>,
    /// The here-documents that are written as files.
    pub heredocs: Vec<Heredoc>,
    /// Where it goes.
    pub destination: String,
}

impl Copy {
    /// `COPY` or `ADD`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.add { "ADD" } else { "COPY" }
    }
}

/// `name=value …`, values as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// The pairs in order.
    pub pairs: Vec<(String, String)>,
    /// Whether it is the old form, `name value`.
    pub legacy: bool,
}

/// `HEALTHCHECK`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// The command; `None` for `NONE`.
    pub command: Option<Command>,
    /// Nanoseconds between two checks.
    pub interval: Option<i64>,
    /// Nanoseconds one may take.
    pub timeout: Option<i64>,
    /// Nanoseconds after the start in which failures do not count.
    pub start_period: Option<i64>,
    /// Nanoseconds between two checks within them.
    pub start_interval: Option<i64>,
    /// Failures in a row that mean unhealthy.
    pub retries: Option<i64>,
}

/// `ONBUILD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The kept instruction as it is written, here-documents included.
    pub text: String,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its default, as it is written.
    pub default: Option<String>,
}
