//! Streams that are cut, flipped, random or explode.

use std::io::Write as _;

use berth_contract::{Class, Digest};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use sha2::Digest as _;

use super::{Archive, Expected, Sandbox, unpack};

#[test]
fn damaged_and_exploding_streams_end_in_an_error() {
    let plain = Archive::new().file("a", &[7; 100_000]).bytes();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let fails = |bytes: &[u8]| {
        let sandbox = Sandbox::new();
        unpack(bytes, &sandbox.directory(), &Expected::default()).is_err()
    };
    for whole in [&plain, &gzip, &zstd] {
        assert!(!fails(whole));
        assert!(fails(&whole[..whole.len() / 2]));
    }
    let mut flipped = gzip;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    assert!(fails(&flipped));
    assert!(fails(b"BZh91AY&SY"));
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 64 << 20), 1).unwrap();
    let header = Archive::new()
        .raw("a", b'0', b"", |header| header.set_size(64 << 20))
        .0;
    let mut bytes = zstd::encode_all(header.as_slice(), 1).unwrap();
    bytes.extend_from_slice(&bomb);
    assert!(fails(&bytes));
}

#[test]
fn digests_are_compared() {
    let bytes = Archive::new().file("a", b"x").bytes();
    let sandbox = Sandbox::new();
    let unpacked = unpack(bytes.as_slice(), &sandbox.directory(), &Expected::default()).unwrap();
    assert_eq!(unpacked.diff_id, crate::store::sha256(&bytes));
    let wrong = Expected {
        diff_id: Some(crate::store::sha256(b"")),
        blob: None,
    };
    let error = unpack(bytes.as_slice(), &Sandbox::new().directory(), &wrong).unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
}

/// The same archive as every compression gives it.
fn packed(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).unwrap();
    let filter = |program: &str| {
        use std::process::{Command, Stdio};
        let mut command = Command::new(program);
        command
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        child.stdin.take()?.write_all(plain).ok()?;
        Some(child.wait_with_output().ok()?.stdout)
    };
    let mut packed = vec![
        ("plain", plain.to_vec()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(plain, 3).unwrap()),
    ];
    packed.extend(filter("xz").map(|bytes| ("xz", bytes)));
    packed.extend(filter("bzip2").map(|bytes| ("bzip2", bytes)));
    packed
}

#[test]
fn every_compression_is_read_and_every_cut_is_noticed() {
    // Content that does not compress, so that each stream has a middle.
    let content: Vec<u8> = (0_u32..1500)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let plain = Archive::new().file("a", &content).bytes();
    for (name, whole) in packed(&plain) {
        let sandbox = Sandbox::new();
        let unpacked = unpack(whole.as_slice(), &sandbox.directory(), &Expected::default());
        assert_eq!(
            unpacked.unwrap().diff_id,
            crate::store::sha256(&plain),
            "{name}"
        );
        assert_eq!(
            std::fs::read(sandbox.layer().join("a")).unwrap(),
            content,
            "{name}"
        );
        // The zeros at the end of a tar are not needed to read it; the digest is what misses them.
        let needed = if name == "plain" {
            whole.len() - 1024
        } else {
            whole.len()
        };
        let expected = Expected {
            blob: Some(crate::store::sha256(&whole)),
            diff_id: None,
        };
        for cut in (0..24)
            .chain((24..needed).step_by(397))
            .chain(needed - 9..needed)
        {
            let sandbox = Sandbox::new();
            let error = unpack(&whole[..cut], &sandbox.directory(), &expected).unwrap_err();
            assert_eq!(error.class(), Class::Invalid, "{name} cut at {cut}");
        }
    }
}

/// One entry of a random archive: its path, its type, and its content or target.
fn entry() -> impl Strategy<Value = (String, u8, String)> {
    let part = prop_oneof![prop::sample::select(vec![
        "a",
        "b",
        "c",
        "..",
        ".",
        "",
        ".wh.a",
        ".wh..wh..opq",
        ".wh.",
        "d",
    ]),];
    let path = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    let kind = prop::sample::select(vec![b'0', b'0', b'0', b'1', b'2', b'5', b'5', b'3', b'6']);
    let target = prop::sample::select(vec!["a", "b/c", "../secret", "/etc/passwd", "/", ".", "d"]);
    let leading = prop::sample::select(vec!["", "", "", "/", "./"]);
    (leading, path, kind, target)
        .prop_map(|(leading, path, kind, target)| (leading.to_owned() + &path, kind, target.into()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `Sandbox::unpack` itself looks whether anything outside was touched.
    #[test]
    fn random_archives_stay_inside(entries in prop::collection::vec(entry(), 1..12)) {
        let mut archive = Archive::new();
        for (path, kind, target) in entries {
            archive = match kind {
                b'0' => archive.file(&path, target.as_bytes()),
                b'1' | b'2' => archive.link(&path, kind, &target),
                kind => archive.raw(&path, kind, b"", |_| {}),
            };
        }
        if let Err(error) = Sandbox::new().unpack(archive) {
            prop_assert!(error.class() != Class::Denied, "{error:?}");
        }
    }

    #[test]
    fn random_bytes_are_no_layer_and_no_panic(
        head in prop::sample::select(vec![
            &b""[..], &b"\x1f\x8b\x08\0"[..], &b"\x28\xb5\x2f\xfd"[..], &b"BZh9"[..],
            &b"\xfd7zXZ\0"[..],
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let bytes = [head, &tail].concat();
        let sandbox = Sandbox::new();
        // Nothing but an empty stream can be read as an archive, and that one is empty.
        let unpacked = unpack(bytes.as_slice(), &sandbox.directory(), &Expected::default());
        prop_assert!(unpacked.map_or(true, |unpacked| unpacked.size == 0));
    }
}

#[test]
fn digests_of_either_algorithm_are_compared() {
    let bytes = Archive::new().file("a", b"x").bytes();
    let digest = |bytes: &[u8]| crate::store::sha512(sha2::Sha512::new().chain_update(bytes));
    let (right, wrong) = (digest(&bytes), digest(b"other"));
    let unpacks = |blob: &Digest, diff_id: &Digest| {
        let expected = Expected {
            blob: Some(blob.clone()),
            diff_id: Some(diff_id.clone()),
        };
        unpack(bytes.as_slice(), &Sandbox::new().directory(), &expected)
    };
    assert_eq!(unpacks(&right, &right).unwrap().diff_id, right);
    for (blob, diff_id) in [(&right, &wrong), (&wrong, &right)] {
        let error = unpacks(blob, diff_id).unwrap_err();
        assert_eq!(error.class(), Class::Invalid);
    }
}
