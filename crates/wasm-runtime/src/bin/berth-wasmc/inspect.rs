//! What a module wants from its host, read before anything is compiled.
//!
//! A module that imports what no WASI host offers would fail at its first start with the engine's own
//! words. The names of its imports tell why, so the refusal can say so.

use berth_contract::{Class, Error, ProgramKind, Result};
use wasmparser::{ComponentExternalKind, ExternalKind, Parser, Payload};

/// What a runnable file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A core module with `_start`.
    Module,
    /// A component with `wasi:cli/run` or a `wasi:http` handler.
    Component,
}

/// The packages whose interfaces the executor offers to components.
const PACKAGES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// The interfaces by which a component can be run.
const ENTRIES: [&str; 4] = [
    "wasi:cli/run@0.2",
    "wasi:cli/run@0.3",
    "wasi:http/incoming-handler@0.2",
    "wasi:http/handler@0.3",
];

/// Says what the file is, or why it cannot be run from its own entry or from this function.
pub(crate) fn runnable(bytes: &[u8], function: Option<&str>) -> Result<Kind> {
    match ProgramKind::from_head(bytes) {
        ProgramKind::WasmModule => module(bytes, function).map(|()| Kind::Module),
        ProgramKind::WasmComponent => component(bytes, function).map(|()| Kind::Component),
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            Err(refused("the file is wasm in text form, not a module")
                .hint("turn it into a module first: wasm-tools parse FILE.wat -o FILE.wasm"))
        }
        _ => Err(refused("the file is no wasm module")),
    }
}

fn refused(sentence: impl Into<String>) -> Error {
    Error::new(Class::CannotInvoke, sentence)
}

fn malformed(error: wasmparser::BinaryReaderError) -> Error {
    refused("the wasm module is damaged").caused_by(error)
}

fn module(bytes: &[u8], function: Option<&str>) -> Result<()> {
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(malformed)?;
                    check_import(import.module, import.name)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(malformed)?;
                    if export.kind == ExternalKind::Func {
                        functions.push(export.name);
                    }
                }
            }
            // Everything that matters lies before the code.
            Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    match function {
        None if functions.contains(&"_start") => Ok(()),
        None => Err(refused(
            "the wasm module has no _start function: it is a library, not a program",
        )),
        Some(function) if functions.contains(&function) => Ok(()),
        Some(function) => Err(
            refused(format!("the wasm module has no function {function}"))
                .caused_by(format!("it exports {}", list(&functions))),
        ),
    }
}

/// What there is in place of what was asked for.
fn list<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(", ")
}

fn check_import(module: &str, name: &str) -> Result<()> {
    if matches!(module, "wasi_snapshot_preview1" | "wasi_unstable") {
        return Ok(());
    }
    if module.starts_with("wasix_") {
        return Err(refused(format!(
            "the wasm module is built for WASIX: it imports {module}.{name}"
        ))
        .hint("build it for wasm32-wasip1 or wasm32-wasip2"));
    }
    if module == "wasi" && name == "thread-spawn" {
        return Err(refused("the wasm module wants wasi-threads, a withdrawn proposal that no current engine offers")
            .hint("build it without threads, for wasm32-wasip1 or wasm32-wasip2"));
    }
    if module == "env"
        && (name.starts_with("emscripten_")
            || name.starts_with("invoke_")
            || name.starts_with("_em"))
    {
        return Err(refused(format!(
            "the wasm module is built by Emscripten for a JavaScript host: it imports env.{name}"
        ))
        .hint("build it with -sSTANDALONE_WASM, or with wasi-sdk"));
    }
    if module.contains(':') {
        return Err(refused(format!("the wasm module imports {module}, which only a component can use"))
            .hint("wrap it into a component first: wasm-tools component new FILE.wasm -o FILE.component.wasm"));
    }
    Err(refused(format!(
        "the wasm module imports {module}.{name}, which WASI does not have"
    )))
}

#[derive(Default)]
struct Component {
    depth: usize,
    has_code: bool,
    entry: bool,
    exports: Vec<String>,
}

fn component(bytes: &[u8], function: Option<&str>) -> Result<()> {
    let mut seen = Component::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::ModuleSection { .. } => {
                seen.has_code = true;
                seen.depth += 1;
            }
            Payload::ComponentSection { .. } => seen.depth += 1,
            Payload::End(_) => seen.depth = seen.depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if seen.depth == 0 => {
                for import in section {
                    check_component_import(import.map_err(malformed)?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) if seen.depth == 0 => {
                for export in section {
                    let export = export.map_err(malformed)?;
                    let name = export.name.name;
                    let instance = export.kind == ComponentExternalKind::Instance;
                    seen.entry |= instance && ENTRIES.iter().any(|entry| name.starts_with(entry));
                    seen.exports.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    // `INTERFACE#FUNCTION` is a function of an interface; the executor sees what is in it.
    let export = function.map(|name| {
        name.rsplit_once('#')
            .map_or(name, |(interface, _)| interface)
    });
    if let Some(export) = export.filter(|_| seen.has_code) {
        if seen.exports.iter().any(|name| name == export) {
            return Ok(());
        }
        return Err(
            refused(format!("the wasm component has no function {export}"))
                .caused_by(format!("it exports {}", list(&seen.exports))),
        );
    }
    if seen.entry {
        Ok(())
    } else if seen.has_code {
        Err(refused(format!(
            "the wasm component is no program: it exports {}, neither wasi:cli/run nor a wasi:http handler",
            list(&seen.exports)
        )))
    } else {
        Err(refused(
            "the wasm component is an interface package: it holds types and no code",
        ))
    }
}

fn check_component_import(name: &str) -> Result<()> {
    if PACKAGES.iter().any(|package| name.starts_with(package)) {
        return Ok(());
    }
    Err(refused(format!(
        "the wasm component imports {name}, which berth does not offer"
    ))
    .hint("compose it with a component that exports this interface: wac plug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<Kind, String> {
        runnable(&wat::parse_str(text).unwrap(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_are_told_from_libraries() {
        assert_eq!(
            verdict(r#"(module (func (export "_start")))"#),
            Ok(Kind::Module)
        );
        assert!(verdict("(module)").unwrap_err().contains("no _start"));
        let import = |module: &str, name: &str| {
            verdict(&format!(
                r#"(module (import "{module}" "{name}" (func)) (func (export "_start")))"#
            ))
        };
        assert_eq!(
            import("wasi_snapshot_preview1", "sched_yield"),
            Ok(Kind::Module)
        );
        assert!(import("wasix_32v1", "fork").unwrap_err().contains("WASIX"));
        assert!(
            import("wasi", "thread-spawn")
                .unwrap_err()
                .contains("wasi-threads")
        );
        assert!(
            import("env", "emscripten_resize_heap")
                .unwrap_err()
                .contains("Emscripten")
        );
        assert!(
            import("wasi:cli/stdout@0.2.0", "get-stdout")
                .unwrap_err()
                .contains("component")
        );
        assert!(import("host", "magic").unwrap_err().contains("host.magic"));
    }

    #[test]
    fn components_need_an_entry_and_known_imports() {
        assert!(
            verdict("(component)")
                .unwrap_err()
                .contains("interface package")
        );
        let library = r#"(component (core module) (component $c) (instance $i (instantiate $c)) (export "a:b/c" (instance $i)))"#;
        assert!(verdict(library).unwrap_err().contains("a:b/c"));
        let wants = r#"(component (import "some:host/api@1.0.0" (instance)))"#;
        assert!(verdict(wants).unwrap_err().contains("some:host/api"));
        let command = r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
        assert_eq!(verdict(command), Ok(Kind::Component));
    }

    #[test]
    fn functions_are_looked_for_by_name() {
        let enter = |text: &str, function| {
            let bytes = wat::parse_str(text).unwrap();
            runnable(&bytes, Some(function)).map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                cause.unwrap_or_default()
            })
        };
        let library = r#"(module (memory (export "memory") 1) (func (export "work")) (func (export "rest")))"#;
        assert_eq!(enter(library, "work"), Ok(Kind::Module));
        assert_eq!(
            enter(library, "memory").unwrap_err(),
            "it exports work, rest"
        );
        let component = r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func (export "work") (canon lift (core func $i "f"))))"#;
        assert_eq!(enter(component, "work"), Ok(Kind::Component));
        assert_eq!(enter(component, "play").unwrap_err(), "it exports work");
    }

    #[test]
    fn other_files_are_named_as_what_they_are() {
        let says = |bytes: &[u8]| runnable(bytes, None).unwrap_err().to_string();
        assert!(says(b"(module)").contains("text form"));
        assert!(says(b"\x7fELF").contains("no wasm module"));
        assert!(says(b"\0asm\x01\0\0\0\xff\xff").contains("damaged"));
    }
}
