//! What the cache compiles, and what it refuses.

use std::path::Path;

use berth_wasm_runtime::Cache;

use crate::module;
use crate::run::programs;

#[test]
fn the_second_start_compiles_nothing() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("module.wasm");
    std::fs::write(&file, wat::parse_str(module("", "nop")).unwrap()).unwrap();
    let file = std::fs::File::open(file).unwrap();
    let place = directory.path().join("cache");
    let first = Cache::open(&place, &programs.join("berth-wasmc"))
        .unwrap()
        .compiled(&file)
        .unwrap();
    let written = first.metadata().unwrap().modified().unwrap();
    let second = Cache::open(&place, &programs.join("berth-wasmc"))
        .unwrap()
        .compiled(&file)
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(written, second.metadata().unwrap().modified().unwrap());
    assert_eq!(names(&place, "partial"), 0);
}

#[test]
fn what_cannot_run_is_refused_with_a_sentence() {
    let Some(programs) = programs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path(), &programs.join("berth-wasmc")).unwrap();
    let refusal = |text: &str| {
        let error = cache
            .compiled_bytes(&wat::parse_str(text).unwrap())
            .unwrap_err();
        assert_eq!(error.class().exit_code(), 126);
        error.to_string()
    };
    let wasix = r#"(module (import "wasix_32v1" "proc_fork" (func)) (func (export "_start")))"#;
    assert!(refusal(wasix).contains("WASIX"));
    assert!(refusal("(component)").contains("interface package"));
    assert!(refusal("(module)").contains("library"));
    let damaged = cache
        .compiled_bytes(b"\0asm\x01\0\0\0\x0a\xff")
        .unwrap_err();
    assert!(damaged.to_string().contains("damaged") || damaged.to_string().contains("not valid"));
    assert_eq!(names(directory.path(), "partial"), 0);
    assert_eq!(names(directory.path(), "cwasm"), 0);
}

fn names(directory: &Path, extension: &str) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|found| found == extension)
        })
        .count()
}
