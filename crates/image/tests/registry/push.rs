//! Pushing: to a real registry, and to ones that take chunks badly or not at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_image::{
    Compression, DocumentStyle, Event, ImageBuilder, Platform, Progress, Provided, PullOptions,
    PushOptions, Recompression, Reference, Silent, Store, install, pull, push, push_wasm,
    push_wasm_image,
};

use sha2::{Digest as _, Sha256};

use crate::closure::{Answer, Request, serve};
use crate::server::{Registry, skopeo};
use crate::{file, native, read, wasm};

/// Hears how blobs came to the registry.
#[derive(Default)]
struct Heard(Mutex<Vec<Provided>>);

impl Progress for Heard {
    fn event(&self, event: &Event<'_>) {
        if let Event::Pushed { how, .. } = event {
            self.0.lock().unwrap().push((*how).clone());
        }
    }
}

impl Heard {
    fn all(&self, wanted: impl Fn(&Provided) -> bool) -> bool {
        let heard = std::mem::take(&mut *self.0.lock().unwrap());
        !heard.is_empty() && heard.iter().all(wanted)
    }
}

fn stored(images: &[ImageBuilder]) -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    install(&store, &Reference::parse("source").unwrap(), images).unwrap();
    (data, store)
}

fn name(address: &str, rest: &str) -> Reference {
    Reference::parse(&format!("{address}/{rest}")).unwrap()
}

#[test]
fn digests_stay_the_same_there_and_back_and_nothing_is_sent_twice() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (_data, store) = stored(&[native(), wasm()]);
    let options = PushOptions::default();
    let heard = Heard::default();
    let there = name(&registry.address, "team/app:1");
    let pushed = push(&store, "source", &there, &options, &heard).unwrap();
    let target = store.find("source", None).unwrap().target().clone();
    assert_eq!((&pushed.digest, pushed.partial), (&target, false));
    assert!(heard.all(|how| *how == Provided::Uploaded));
    push(&store, "source", &there, &options, &heard).unwrap();
    assert!(heard.all(|how| *how == Provided::Existed));
    // A name at that registry tells where blobs can be mounted from.
    store
        .tag(store.find("source", None).unwrap().target(), &there)
        .unwrap();
    let other = name(&registry.address, "other/app:2");
    push(&store, "source", &other, &options, &heard).unwrap();
    assert!(heard.all(
        |how| matches!(how, Provided::Mounted(from) if from == "team/app")
            || *how == Provided::Uploaded
    ));

    let place = tempfile::tempdir().unwrap();
    let copied = format!("dir:{}", place.path().join("copy").display());
    let source = format!("docker://{other}");
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        &source,
        &copied,
    ]);

    let fresh = tempfile::tempdir().unwrap();
    let store = Store::open(fresh.path());
    let pulled = pull(&store, &other, &PullOptions::default(), &Silent)
        .unwrap()
        .image;
    assert_eq!(*pulled.target(), target);
    // The wasm half is not here, but the registry has it: the index can be pushed back whole.
    let again = push(&store, &other.to_string(), &other, &options, &Silent).unwrap();
    assert_eq!((again.digest, again.partial), (target, false));
    // Elsewhere it is not, so only what is here goes.
    let elsewhere = name(&registry.address, "third:1");
    let part = push(&store, &other.to_string(), &elsewhere, &options, &Silent).unwrap();
    assert_eq!(
        (&part.digest, part.partial),
        (pulled.manifest_digest(), true)
    );
}

#[test]
fn layers_are_compressed_on_the_way() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let (_data, store) = stored(&[native()]);
    let id = store.find("source", None).unwrap().id().clone();
    for (compression, kind) in [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd")] {
        let options = PushOptions {
            compression: Some(Recompression {
                compression,
                level: None,
                force: true,
            }),
            ..PushOptions::default()
        };
        let there = name(&registry.address, &format!("packed:{kind}"));
        push(&store, "source", &there, &options, &Silent).unwrap();
        let fresh = tempfile::tempdir().unwrap();
        let other = Store::open(fresh.path());
        let image = pull(&other, &there, &PullOptions::default(), &Silent)
            .unwrap()
            .image;
        assert_eq!(*image.id(), id);
        assert!(image.blobs()[0].media_type.ends_with(kind));
        assert_eq!(read(&image, "etc/name"), b"native\n");
    }
}

#[test]
fn a_wasm_file_becomes_an_artifact() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let module = data.path().join("app.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    let there = name(&registry.address, "wasm/app:1");
    let how = (&PushOptions::default(), &Silent as &dyn Progress);
    push_wasm(&store, &module, "2026-01-01T00:00:00Z", &there, how).unwrap();
    let image = pull(&store, &there, &PullOptions::default(), &Silent)
        .unwrap()
        .image;
    assert_eq!(
        image.config_media_type(),
        "application/vnd.wasm.config.v0+json"
    );
    assert_eq!(*image.platform(), Platform::new("wasip1", "wasm"));
    assert_eq!(
        std::fs::read(image.module().unwrap()).unwrap(),
        b"\0asm\x01\0\0\0"
    );
    std::fs::write(&module, b"no wasm at all").unwrap();
    assert!(push_wasm(&store, &module, "", &there, how).is_err());
}

#[test]
fn a_wasm_images_program_becomes_an_artifact() {
    let Some(registry) = Registry::start(false) else {
        return;
    };
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    let mut compat = ImageBuilder::new(Platform::new("wasi", "wasm"));
    compat.config.working_dir = "/app".into();
    compat.config.entrypoint = Some(vec!["main.wasm".into()]);
    compat.files = vec![file("app/main.wasm", 0o755, MODULE)];
    // Beside a native image it is the wasm one that is meant.
    let (_data, store) = stored(&[native(), compat]);
    let (_other, artifact) = stored(&[wasm()]);
    let options = PushOptions::default();
    for store in [&store, &artifact] {
        let there = name(&registry.address, "wasm/app:1");
        push_wasm_image(store, "source", &there, &options, &Silent).unwrap();
        let fresh = tempfile::tempdir().unwrap();
        let fresh = Store::open(fresh.path());
        let pulled = pull(&fresh, &there, &PullOptions::default(), &Silent);
        let image = pulled.unwrap().image;
        let kind = image.config_media_type();
        assert_eq!(kind, "application/vnd.wasm.config.v0+json");
        assert_eq!(std::fs::read(image.module().unwrap()).unwrap(), MODULE);
    }
    let (_native, native) = stored(&[native()]);
    let there = name(&registry.address, "wasm/app:2");
    let refused = push_wasm_image(&native, "source", &there, &options, &Silent);
    let refused = berth_contract::Report::from(&refused.unwrap_err()).line();
    assert!(refused.contains("/bin/hello is no wasm"), "{refused}");
}

/// Blobs by digest.
type Kept = Arc<Mutex<HashMap<String, Vec<u8>>>>;
/// Methods with their ranges.
type Asked = Arc<Mutex<Vec<String>>>;

/// A registry that keeps what it is sent, and whose chunks go wrong as `chunk` says.
fn keeping(chunk: impl Fn(usize) -> Option<u16> + Send + Sync + 'static) -> (String, Kept, Asked) {
    let kept = Arc::new(Mutex::new(HashMap::<String, Vec<u8>>::new()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (store, log) = (Arc::clone(&kept), Arc::clone(&asked));
    let uploads = Mutex::new(Vec::<Vec<u8>>::new());
    let chunks = Mutex::new(0);
    let address = serve(move |request: &Request| {
        let range = request.headers.get("content-range").cloned();
        let range = range.unwrap_or_default();
        log.lock()
            .unwrap()
            .push(format!("{} {range}", request.method));
        let mut uploads = uploads.lock().unwrap();
        let id = request.path.split('?').next().unwrap().rsplit('/').next();
        let id = id.unwrap().parse::<usize>().ok();
        let at = |answer: Answer, id: usize| {
            answer.header("location", format!("/v2/team/app/blobs/uploads/{id}"))
        };
        let far = |upload: &[u8]| format!("0-{}", upload.len().saturating_sub(1));
        match (request.method.as_str(), id) {
            ("HEAD", _) => Answer::new(404, b""),
            ("POST", _) => {
                uploads.push(Vec::new());
                at(Answer::new(202, b""), uploads.len() - 1)
            }
            ("GET", Some(id)) => at(Answer::new(204, b""), id).header("range", far(&uploads[id])),
            ("PATCH", Some(id)) => {
                let mut chunks = chunks.lock().unwrap();
                *chunks += 1;
                if let Some(status) = chunk(*chunks) {
                    return Answer::new(status, b"").header("retry-after", "0");
                }
                uploads[id].extend(&request.body);
                at(Answer::new(202, b""), id).header("range", far(&uploads[id]))
            }
            ("PUT", Some(id)) => {
                uploads[id].extend(&request.body);
                let digest = request.path.rsplit("digest=").next().unwrap();
                let whole = uploads[id].clone();
                store
                    .lock()
                    .unwrap()
                    .insert(digest.replace("%3A", ":"), whole);
                Answer::new(201, b"")
            }
            _ => Answer::new(201, b""),
        }
    });
    (address, kept, asked)
}

fn large() -> (tempfile::TempDir, Store) {
    let mut image = native();
    let noise: Vec<u8> = (0_u32..5_000_000)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    image.files = vec![file("noise", 0o644, &noise)];
    stored(&[image])
}

fn assert_kept(store: &Store, kept: &Mutex<HashMap<String, Vec<u8>>>) {
    let layer = store.find("source", None).unwrap().blobs()[0].clone();
    let kept = kept.lock().unwrap();
    let bytes = &kept[layer.digest.as_str()];
    assert_eq!(bytes.len() as u64, layer.size);
    let hex: Vec<String> = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex.concat(), layer.digest.hex());
}

#[test]
fn a_broken_chunk_is_continued_where_the_registry_stopped() {
    let (_data, store) = large();
    let (address, kept, asked) = keeping(|chunk| (chunk == 2).then_some(503));
    let there = name(&address, "team/app:1");
    push(&store, "source", &there, &PushOptions::default(), &Silent).unwrap();
    assert_kept(&store, &kept);
    let asked = asked.lock().unwrap();
    let chunks: Vec<_> = asked
        .iter()
        .filter(|line| line.starts_with("PATCH"))
        .collect();
    assert_eq!(chunks[1], chunks[2], "{asked:?}");
    assert_eq!(chunks.len(), 4);
}

#[test]
fn a_registry_that_takes_no_chunks_gets_the_blob_whole() {
    let (_data, store) = large();
    let (address, kept, asked) = keeping(|_| Some(405));
    let there = name(&address, "team/app:1");
    push(&store, "source", &there, &PushOptions::default(), &Silent).unwrap();
    assert_kept(&store, &kept);
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked
            .iter()
            .filter(|line| line.starts_with("PATCH"))
            .count(),
        1,
        "{asked:?}"
    );
}

#[test]
fn documents_go_as_oci_or_as_docker_writes_them() {
    let served = crate::served::Served::start();
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    let both = [native(), ImageBuilder::new(Platform::new("linux", "s390x"))];
    let (one, list) = (
        Reference::parse("one").unwrap(),
        Reference::parse("list").unwrap(),
    );
    install(&store, &one, &both[..1]).unwrap();
    install(&store, &list, &both).unwrap();
    let options = |style| PushOptions {
        style: Some(style),
        ..PushOptions::default()
    };
    let kinds = |name: &Reference| {
        let remote = berth_image::remote_document(name, &berth_image::Access::default());
        let text = String::from_utf8(remote.unwrap().bytes).unwrap();
        let kinds = text.split("\"mediaType\":\"").skip(1);
        kinds
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (name, source) in [("one", &one), ("list", &list)] {
        let id = store.find(name, None).unwrap().id().clone();
        let own = store.find(name, None).unwrap().target().clone();
        let dockers = served.name(&format!("{name}:docker"));
        let style = DocumentStyle::Docker;
        push(&store, name, &dockers, &options(style), &Silent).unwrap();
        for kind in kinds(&dockers) {
            assert!(
                kind.starts_with("application/vnd.docker."),
                "{source}: {kind}"
            );
        }
        let place = tempfile::tempdir().unwrap();
        let other = Store::open(place.path());
        let image = pull(&other, &dockers, &PullOptions::default(), &Silent)
            .unwrap()
            .image;
        assert_eq!(*image.id(), id);
        assert_eq!(read(&image, "etc/name"), b"native\n");
        // What has the style already goes as it is, and there and back is the same.
        let same = push(
            &store,
            name,
            &served.name("same:1"),
            &options(DocumentStyle::Oci),
            &Silent,
        );
        assert_eq!(same.unwrap().digest, own);
        if name == "one" {
            let at = dockers.to_string();
            let back = push(
                &other,
                &at,
                &served.name("back:1"),
                &options(DocumentStyle::Oci),
                &Silent,
            );
            assert_eq!(
                kinds(&served.name("back:1"))[0],
                "application/vnd.oci.image.manifest.v1+json"
            );
            assert!(!back.unwrap().partial);
        } else {
            // Not all of the list is there.
            let at = dockers.to_string();
            let style = options(DocumentStyle::Oci);
            let back = push(&other, &at, &served.name("back:2"), &style, &Silent).unwrap();
            assert!(back.partial, "the one image that is there");
        }
    }
    install(&store, &Reference::parse("program").unwrap(), &[wasm()]).unwrap();
    let refused = push(
        &store,
        "program",
        &served.name("p:1"),
        &options(DocumentStyle::Docker),
        &Silent,
    );
    assert_eq!(refused.unwrap_err().class(), berth_contract::Class::Invalid);
}

#[test]
fn a_registry_that_keeps_nothing_of_a_chunk_is_given_up() {
    // One says so at once, one keeps the first chunk and has lost it at the second.
    for forgetful in [false, true] {
        let (_data, store) = large();
        let chunks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&chunks);
        let address = serve(move |request: &Request| {
            let at = |status| {
                Answer::new(status, b"").header("location", "/v2/team/app/blobs/uploads/1")
            };
            match request.method.as_str() {
                "HEAD" => Answer::new(404, b""),
                "PATCH" => match count.fetch_add(1, Ordering::SeqCst) {
                    number if number > 100 => Answer::new(400, b""),
                    number if forgetful && number % 2 == 1 => Answer::new(416, b""),
                    _ if forgetful => {
                        at(202).header("range", format!("0-{}", request.body.len() - 1))
                    }
                    _ => at(202).header("range", "0-0"),
                },
                "GET" => at(204).header("range", "0-0"),
                _ => at(202),
            }
        });
        let there = name(&address, "team/app:1");
        let pushed = push(&store, "source", &there, &PushOptions::default(), &Silent);
        // Who refuses a chunk gets the blob whole.
        assert_eq!(pushed.is_ok(), forgetful, "{pushed:?}");
        let sent = chunks.load(Ordering::SeqCst);
        assert!(sent <= 12, "{sent}");
    }
}
