//! The twin programs of `images/`: one source, compiled for Linux and for WASI.

use crate::programs::twins;

/// Which half of a twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Compiled for Linux.
    Native,
    /// Compiled for WASI preview 1.
    Wasm,
}

/// One half of a twin program.
#[derive(Debug, Clone, Copy)]
pub struct Twin {
    kind: Kind,
    name: &'static str,
}

impl Twin {
    /// The program `name` of `images/`, compiled for `kind`.
    #[must_use]
    pub fn new(kind: Kind, name: &'static str) -> Self {
        Self { kind, name }
    }

    /// Which half it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The program's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its image.
    #[must_use]
    pub fn image(&self) -> String {
        let half = match self.kind {
            Kind::Native => "native",
            Kind::Wasm => "wasm",
        };
        format!("{half}-{}:latest", self.name)
    }

    /// Its bytes.
    #[must_use]
    pub fn program(&self) -> Vec<u8> {
        let half = match self.kind {
            Kind::Native => "native",
            Kind::Wasm => "wasm",
        };
        let path = twins().join(half).join(self.name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}
