//! Damaged and lying files: every refusal names its field, and no mutation panics, hangs or takes memory beyond the file.

use crate::error::{Error, FormatError};
use crate::io::{Format, ReadOptions, WriteOptions, read, read_bytes, read_header, read_header_bytes, to_bytes};
use crate::random::{Purpose, SiteRng, Stream};
use rand::RngExt;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Counts the bytes this thread holds and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let held = HELD.get() + change;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is passed on unchanged to the system allocator; counting touches only constant thread-locals.
#[allow(unsafe_code, reason = "measuring memory needs an allocator, and GlobalAlloc is an unsafe trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NAMES: [&str; 19] = [
    "chroma_milc32.bin",
    "mdp_python_mark.mdp",
    "extent_one.nersc",
    "numpy_u1.npz",
    "numpy_u1_compressed.npz",
    "testconf.txt",
    "lat.sample.l4444",
    "lat.sample.l4444.ildg",
    "lat.sample.l4444.scidac",
    "lat.sample.l4444.nersc",
    "lat.sample.l4448",
    "lat.sample.l4448.gf",
    "lat.sample.l4448.scidac",
    "lat.sample.inst",
    "random-gauge.qio",
    "random-gauge.nersc",
    "sample_4x4x4x4_su2.orig.mdp",
    "su2_heatbath_4444.ildg",
    "su4_heatbath_4444.ildg",
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn load(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn options(name: &str) -> ReadOptions {
    let bare = name.contains("heatbath");
    ReadOptions { shape: bare.then(|| vec![4; 4]), ..Default::default() }
}

fn refusal(bytes: &[u8], options: &ReadOptions) -> FormatError {
    match read_bytes(bytes, options) {
        Err(Error::Format(error)) => error,
        other => panic!("a FormatError was expected, not {:?}", other.map(|(_, header)| header)),
    }
}

fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|w| w == text).unwrap_or_else(|| panic!("{text:?} is not there"))
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = find(bytes, from.as_bytes());
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

fn patched(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    [&bytes[..at], with, &bytes[at + with.len()..]].concat()
}

/// Small files of the formats of which there is no real one.
fn written(format: Format) -> Vec<u8> {
    let ildg = read(path("lat.sample.l4444.ildg"), &ReadOptions::default()).unwrap().0;
    let metadata = match format {
        Format::Npz => vec![("beta".to_string(), "7.0".to_string())],
        _ => Vec::new(),
    };
    to_bytes(&ildg, format, &WriteOptions { metadata, ..Default::default() }).unwrap()
}

#[test]
fn lying_text_headers_name_the_field() {
    // (file, text in it, what it becomes, field, part of the message)
    let table = [
        ("random-gauge.nersc", "DIMENSION_1 = 4", "DIMENSION_1 = 0", "DIMENSION_1", "extent 0"),
        ("random-gauge.nersc", "DIMENSION_2 = 4", "DIMENSION_2 = -4", "DIMENSION_2", "extent -4"),
        ("random-gauge.nersc", "DIMENSION_3 = 4", "DIMENSION_3 = 1000000000", "DIMENSION_3", "extent 1000000000"),
        ("random-gauge.nersc", "DIMENSION_4 = 8", "DIMENSION_4 = 99999999999999999999", "DIMENSION_4", "not a whole"),
        ("random-gauge.nersc", "DIMENSION_4 = 8", "DIMENSION_4 = four", "DIMENSION_4", "'four'"),
        ("random-gauge.nersc", "DIMENSION_4 = 8", "DIMENSION_4 = 9", "data", "promises 110592"),
        ("random-gauge.nersc", "DIMENSION_4 = 8", "DIMENSION_4 = 4", "data", "promises 49152"),
        ("random-gauge.nersc", "DIMENSION_4 = 8", "DIMENSION_3 = 8", "DIMENSION_3", "twice"),
        ("random-gauge.nersc", "DIMENSION_4 = 8\n", "", "DIMENSION_4", "missing"),
        ("random-gauge.nersc", "END_HEADER", "END_HEADEX", "END_HEADER", "no line END_HEADER"),
        ("random-gauge.nersc", "4D_SU3_GAUGE", "4D_SU9_GAUGE", "DATATYPE", "4D_SU9_GAUGE"),
        ("random-gauge.nersc", "4D_SU3_GAUGE", "4D_SU3_GAUGE_3x3", "data", "promises 147456"),
        ("random-gauge.nersc", "IEEE32BIG", "IEEE64BIG", "data", "promises 196608"),
        ("random-gauge.nersc", "IEEE32BIG", "IEEE16", "FLOATING_POINT", "IEEE16"),
        (
            "random-gauge.nersc",
            "CHECKSUM = 337cf07b",
            "CHECKSUM = 337cf07c",
            "CHECKSUM",
            "337cf07c, its data sum to 337cf07b",
        ),
        ("random-gauge.nersc", "CHECKSUM = 337cf07b", "CHECKSUM = xyz", "CHECKSUM", "'xyz'"),
        ("random-gauge.nersc", "PLAQUETTE = 0.994765", "PLAQUETTE = 0.994865", "PLAQUETTE", "0.994865"),
        ("random-gauge.nersc", "PLAQUETTE = 0.994765", "PLAQUETTE = NaN", "PLAQUETTE", "not a number"),
        ("random-gauge.nersc", "LINK_TRACE = 0.379318", "LINK_TRACE = 0.389318", "LINK_TRACE", "0.389318"),
        ("lat.sample.l4444.ildg", "<lx>4</lx>", "<lx>0</lx>", "ildg-format lx", "extent 0"),
        ("lat.sample.l4444.ildg", "<lt>4</lt>", "<lt>8</lt>", "scidac-private-file-xml dims", "[4, 4, 4, 8]"),
        ("lat.sample.l4444.ildg", "<ly>4</ly>", "<lq>4</lq>", "ildg-format ly", "missing"),
        ("lat.sample.l4444.ildg", "<precision>32<", "<precision>64<", "ildg-format precision", "are 32 bit"),
        ("lat.sample.l4444.ildg", "<precision>32<", "<precision>99<", "ildg-format precision", "'99'"),
        ("lat.sample.l4444.ildg", "su3gauge", "su4gauge", "scidac-private-record-xml colors", "'3'"),
        ("lat.sample.l4444.ildg", "su3gauge", "su0gauge", "ildg-format field", "su0gauge"),
        ("lat.sample.l4444.scidac", "<dims>4 4 4 4 <", "<dims>4 4 -4 4<", "scidac-private-file-xml dims", "extent -4"),
        ("lat.sample.l4444.scidac", "<dims>4 4 4 4 <", "<dims>4 4 4   <", "scidac-private-file-xml dims", "4 extents"),
        ("lat.sample.l4444.scidac", "<dims>4 4 4 4 <", "<dims>4 4 4 8 <", "scidac-binary-data", "[4, 4, 4, 8]"),
        (
            "lat.sample.l4444.scidac",
            "<precision>F<",
            "<precision>D<",
            "scidac-private-record-xml precision",
            "are 32 bit",
        ),
        (
            "lat.sample.l4444.scidac",
            "<typesize>72<",
            "<typesize>99<",
            "scidac-private-record-xml typesize",
            "72 or 144",
        ),
        (
            "lat.sample.l4444.scidac",
            "<datacount>4<",
            "<datacount>3<",
            "scidac-private-record-xml datacount",
            "4, one link",
        ),
        ("lat.sample.l4444.scidac", "<volfmt>0<", "<volfmt>1<", "scidac-private-file-xml volfmt", "one file"),
        (
            "lat.sample.l4444.scidac",
            "37affb9c",
            "37affb9d",
            "suma/sumb",
            "37affb9d 2fc07bbf, its data sum to 37affb9c 2fc07bbf",
        ),
        (
            "lat.sample.l4444.scidac",
            "2fc07bbf",
            "2fc07bbe",
            "suma/sumb",
            "37affb9c 2fc07bbe, its data sum to 37affb9c 2fc07bbf",
        ),
        ("lat.sample.l4444.scidac", "37affb9c", "37affb9z", "scidac-checksum suma", "37affb9z"),
        ("lat.sample.l4444.scidac", "</suma>", "</sumz>", "scidac-checksum", "well-formed"),
        ("lat.sample.l4444.scidac", "scidac-binary-data", "scidac-binary-dada", "ildg-binary-data", "neither"),
        ("testconf.txt", "0.2915333009592056", "0.29153.3009592056", "number", "0.29153.3009592056"),
        ("testconf.txt", "0.2915333009592056", "1.2915333009592056", "links", "U_0[0, 0, 0, 0]"),
    ];
    for (name, from, to, field, part) in table {
        let error = refusal(&replaced(&load(name), from, to), &options(name));
        let wanted = error.field.starts_with(field) && error.message.contains(part) && !error.remedy.is_empty();
        assert!(wanted, "{name}: {to}: {error}");
    }
}

#[test]
fn lying_binary_headers_name_the_field() {
    let (openqcd, mdp) = (written(Format::OpenQcd), load("sample_4x4x4x4_su2.orig.mdp"));
    let (milc, lime) = (load("lat.sample.l4448"), load("su4_heatbath_4444.ildg"));
    let (huge, negative) = (1_000_000_000i32, -4i32);
    let fixed = |format| ReadOptions { format: Some(format), shape: None, ..Default::default() };
    let table: Vec<(Vec<u8>, ReadOptions, &str, &str)> = vec![
        (patched(&milc, 4, &huge.to_be_bytes()), fixed(Format::Milc), "nx", "extent 1000000000"),
        (patched(&milc, 16, &negative.to_be_bytes()), fixed(Format::Milc), "nt", "extent -4"),
        (patched(&milc, 8, &0i32.to_be_bytes()), fixed(Format::Milc), "ny", "extent 0"),
        (patched(&milc, 84, &1i32.to_be_bytes()), fixed(Format::Milc), "order", "natural order"),
        (patched(&milc, 88, &[0]), fixed(Format::Milc), "sum29/sum31", "00f3b413"),
        (milc[..60].to_vec(), fixed(Format::Milc), "header", "96 bytes"),
        (patched(&openqcd, 0, &huge.to_le_bytes()), fixed(Format::OpenQcd), "N0", "extent 1000000000"),
        (patched(&openqcd, 4, &negative.to_le_bytes()), fixed(Format::OpenQcd), "N1", "extent -4"),
        (patched(&openqcd, 8, &3i32.to_le_bytes()), fixed(Format::OpenQcd), "N2", "even"),
        (patched(&openqcd, 16, &1.0f64.to_le_bytes()), ReadOptions::default(), "PLAQUETTE", "0.3333"),
        (patched(&openqcd, 16, &9.0f64.to_le_bytes()), fixed(Format::OpenQcd), "plaquette", "9"),
        (openqcd[..openqcd.len() - 1].to_vec(), ReadOptions::default(), "data", "147455"),
        (patched(&mdp, 188, &huge.to_le_bytes()), ReadOptions::default(), "box[0]", "extent 1000000000"),
        (patched(&mdp, 228, &77i32.to_le_bytes()), ReadOptions::default(), "bytes_per_site", "77"),
        (patched(&mdp, 184, &3i32.to_le_bytes()), ReadOptions::default(), "ndim", "3 dimensions"),
        (patched(&mdp, 180, &[0]), ReadOptions::default(), "endianess", "87654321"),
        (patched(&lime, 8, &u64::MAX.to_be_bytes()), options("heatbath"), "length", "18446744073709551615"),
        (patched(&lime, 5, &[2]), options("heatbath"), "version", "allowed is 1"),
        ([&lime[..], b"some bytes that were appended to a file"].concat(), options("heatbath"), "record header", "39"),
        ([&lime[..], &lime[..]].concat(), options("heatbath"), "ildg-binary-data", "twice"),
        (lime.clone(), ReadOptions::default(), "ildg-format", "no record states"),
        (b"BEGIN_HEADER\n".to_vec(), ReadOptions::default(), "END_HEADER", "13 bytes"),
        (Vec::new(), ReadOptions::default(), "content", "empty"),
        (Vec::new(), fixed(Format::Nersc), "content", "empty"),
        (b"hello world".to_vec(), ReadOptions::default(), "magic", "nersc, ildg, scidac, milc, bridge"),
        (vec![0x1f, 0x8b, 8, 0], ReadOptions::default(), "magic", "known formats"),
        (b"1.0 2.0 3.0".to_vec(), ReadOptions::default(), "shape", "3 numbers"),
    ];
    for (bytes, options, field, part) in table {
        let error = refusal(&bytes, &options);
        assert!(error.field.starts_with(field) && error.message.contains(part), "{field}: {error}");
    }
}

#[test]
fn lying_arrays_name_the_field() {
    let (npy, npz) = (written(Format::Npy), written(Format::Npz));
    let table = [
        (replaced(&npy, "(4, 4, 4, 4, 4, 3, 3,)", "(4, 4, 4, 4, 9, 3, 3,)"), "data", "331776 bytes"),
        (replaced(&npy, "(4, 4, 4, 4, 4, 3, 3,)", "(4, 4, 0, 4, 4, 3, 3,)"), "shape", "extent 0"),
        (replaced(&npy, "(4, 4, 4, 4, 4, 3, 3,)", "(4, 4, 4, 4, 4, 9,  )"), "shape", "[D, L_0"),
        (replaced(&npy, "(4, 4, 4, 4, 4, 3, 3,)", "(5, 4, 4, 4, 4, 3, 3,)"), "shape", "[D, L_0"),
        (replaced(&npy, "(4, 4, 4, 4, 4, 3, 3,)", "(4,99999999999,4,4,3,3"), "shape", "not found"),
        (replaced(&npy, "'<c16'", "'<f16'"), "descr", "<f16"),
        (replaced(&npy, "'<c16'", "'|O'  "), "descr", "|O"),
        (replaced(&npy, "False", "True "), "fortran_order", "Fortran"),
        (patched(&npy, 6, &[9]), "version", "1, 2 and 3"),
        (npy[..npy.len() - 8].to_vec(), "data", "147448"),
        (npz[..npz.len() - 30].to_vec(), "end of central directory", "missing"),
        (patched(&npz, 200, &[7]), "links.npy crc32", "sum to"),
    ];
    for (bytes, field, part) in &table {
        let error = refusal(bytes, &ReadOptions::default());
        assert!(error.field.starts_with(field) && error.message.contains(part), "{field}: {error}");
    }
}

/// Files of other codes that are odd but good: read with a word about what is odd.
#[test]
fn odd_files_are_read_with_a_warning() {
    let su2 = ReadOptions { n_colors: Some(2), ..Default::default() };
    let table = [
        ("chroma_milc32.bin", ReadOptions::default(), Some(-0.0148228), "both checksums are 0"),
        ("mdp_python_mark.mdp", ReadOptions::default(), Some(-0.0148228), "no checksum"),
        ("su2_claims_su3.nersc", su2.clone(), Some(-0.038758282), "DATATYPE says 3 colours; the given 2 fit"),
        ("su2_claims_su3.ildg", su2, None, "ildg-format says 3 colours; the given 2 fit"),
        ("extent_one.nersc", ReadOptions::default(), Some(-0.000623319759), ""),
    ];
    for (name, options, plaquette, warning) in table {
        let (links, header) = read(path(name), &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = links.plaquette().unwrap().unwrap();
        assert!(plaquette.is_none_or(|p: f64| (p - found).abs() < 5e-8), "{name}: {found}");
        let warned = header.warnings.iter().any(|w| w.contains(warning));
        assert!(warned || warning.is_empty(), "{name}: {:?}", header.warnings);
    }
    for name in ["su2_claims_su3.nersc", "su2_claims_su3.ildg"] {
        refusal(&load(name), &ReadOptions::default());
    }
    let smallest = ReadOptions { smallest_extent: 2, ..Default::default() };
    let error = refusal(&load("extent_one.nersc"), &smallest);
    assert!(error.field == "shape" && error.message.contains("extent 1 in [4, 4, 1, 4]"), "{error}");
    let error = refusal(&load("lfs_pointer.ildg"), &ReadOptions::default());
    assert!(error.remedy.contains("Git LFS pointer"), "{error}");
}

/// The kind of MILC's `l4448.foreign`: a quote is missing in the XML of a record.
#[test]
fn broken_xml_is_a_warning_when_shape_and_group_are_given() {
    let file = load("lat.sample.l4444.ildg");
    let broken = replaced(&file, "</lx>", "</lx ");
    refusal(&broken, &ReadOptions::default());
    let known = ReadOptions { shape: Some(vec![4; 4]), n_colors: Some(3), ..Default::default() };
    let (links, header) = read_bytes(&broken, &known).unwrap();
    assert!((links.plaquette().unwrap().unwrap() - 0.594850158947).abs() < 1e-12);
    assert!(header.warnings.iter().any(|w| w.contains("was not used")), "{:?}", header.warnings);
    let wrong = ReadOptions { shape: Some(vec![4, 4, 4, 8]), ..known };
    assert!(read_bytes(&broken, &wrong).is_err());
}

/// Sparse files of 1 TiB: sizes first, memory second, for every reader.
#[test]
fn files_larger_than_memory_are_refused() {
    let header = format!(
        "BEGIN_HEADER\nDATATYPE = 4D_SU3_GAUGE_3x3\n{}CHECKSUM = 1\nFLOATING_POINT = IEEE64BIG\nEND_HEADER\n",
        [256, 256, 128, 128].iter().zip(1..).map(|(l, i)| format!("DIMENSION_{i} = {l}\n")).collect::<String>()
    );
    let size = header.len() as u64 + 256 * 256 * 128 * 128 * 576;
    let text = b"1.0 2.0\n".repeat(600);
    let table =
        [("npz", b"PK\x03\x04".to_vec(), 1 << 40), ("txt", text, 1 << 40), ("nersc", header.into_bytes(), size)];
    for (name, start, length) in table {
        let path = std::env::temp_dir().join(format!("plaq-big-{}.{name}", std::process::id()));
        std::fs::write(&path, start).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let (links, header) = (read(&path, &ReadOptions::default()), read_header(&path, &ReadOptions::default()));
        std::fs::remove_file(&path).unwrap();
        let refused = |error: &Error| matches!(error, Error::Value(text) if text.contains("are available here"));
        assert!(links.as_ref().is_err_and(refused), "{name}: {:?}", links.err());
        assert!(name == "nersc" || header.as_ref().is_err_and(refused), "{name}: {:?}", header.err());
    }
}

/// A zip archive with one deflated member that claims `claimed` bytes.
fn deflated(content: &[u8], claimed: usize) -> Vec<u8> {
    let data = miniz_oxide::deflate::compress_to_vec(content, 6);
    let name = b"links.npy";
    let mut entry = [20u16, 0, 8, 0, 33].map(u16::to_le_bytes).concat();
    entry.extend([crc32fast::hash(content), data.len() as u32, claimed as u32].map(u32::to_le_bytes).concat());
    entry.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
    let local = [&b"PK\x03\x04"[..], &entry, name, &data].concat();
    let central = [&b"PK\x01\x02\x14\0"[..], &entry, &[0; 14], name].concat();
    let sizes = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    [&local[..], &central, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &sizes, &[0; 2]].concat()
}

#[test]
fn compressed_archives_are_read_and_bombs_are_not() {
    let npy = written(Format::Npy);
    assert!(read_bytes(&deflated(&npy, npy.len()), &ReadOptions::default()).is_ok());
    let zeros = vec![0; 20_000_000];
    for claimed in [zeros.len(), 1000] {
        let bomb = deflated(&zeros, claimed);
        let held = HELD.get();
        MOST.set(held);
        let error = refusal(&bomb, &ReadOptions::default());
        assert!(error.field == "size" || error.field == "links.npy deflate", "{error}");
        assert!(MOST.get() - held < 1 << 18, "{} bytes for an archive of {}", MOST.get() - held, bomb.len());
    }
}

#[test]
fn hostile_xml_is_refused_quickly() {
    let file = load("lat.sample.l4444.ildg");
    let record = |xml: &str| {
        let at = find(&file, b"<ildgFormat") - 38 - 144;
        let start = at + 144;
        let old = 319usize.next_multiple_of(8);
        let mut head = file[at..start].to_vec();
        head[8..16].copy_from_slice(&(xml.len() as u64).to_be_bytes());
        let padding = vec![0; xml.len().next_multiple_of(8) - xml.len()];
        [&file[..at], &head, xml.as_bytes(), &padding, &file[start + old..]].concat()
    };
    let bomb = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><ildgFormat><lx>&b;</lx></ildgFormat>";
    let deep = "<a>".repeat(10_000) + &"</a>".repeat(10_000);
    let wide = format!("<r>{}</r>", "<a>1</a>".repeat(6000));
    let long = format!("<r><a>{}</a></r>", "x".repeat(2_000_000));
    let table = [
        (bomb.to_string(), "document types"),
        ("<r><lx>&lol;</lx></r>".to_string(), "entity &lol;"),
        ("<r><lx>&#xffffffff;</lx></r>".to_string(), "character reference"),
        (deep, "bytes of XML"),
        ("<a>".repeat(5000), "levels"),
        (wide, "elements"),
        (long, "bytes of XML"),
        ("<r><lx>4</r>".to_string(), "well-formed"),
        ("<r><lx>4</lx>".to_string(), "ends inside"),
        (String::new(), "missing"),
        ("\u{1}\u{2}".to_string(), ""),
    ];
    for (xml, part) in table {
        let start = Instant::now();
        let error = refusal(&record(&xml), &ReadOptions::default());
        let shown: String = xml.chars().take(40).collect();
        assert!(error.field.starts_with("ildg-format") && error.message.contains(part), "{shown}: {error}");
        assert!(start.elapsed() < Duration::from_millis(200), "{shown}");
    }
}

#[test]
fn wrong_options_and_paths_have_their_own_errors() {
    let nersc = load("random-gauge.nersc");
    for (options, part) in [
        (ReadOptions { shape: Some(vec![8, 4, 4, 4]), ..Default::default() }, "[4, 4, 4, 8]"),
        (ReadOptions { n_colors: Some(2), ..Default::default() }, "file says 3"),
        (ReadOptions { n_colors: Some(9), ..Default::default() }, "9 colours"),
        (ReadOptions { shape: Some(vec![]), ..Default::default() }, "1 to 4 extents"),
        (ReadOptions { shape: Some(vec![1 << 40; 4]), ..Default::default() }, "1 to 4 extents"),
    ] {
        match read_bytes(&nersc, &options) {
            Err(Error::Value(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{:?}", other.map(|(_, header)| header)),
        }
    }
    for missing in [path("no such file"), path("."), PathBuf::from("/dev/null")] {
        assert!(matches!(read(&missing, &ReadOptions::default()), Err(Error::Os { .. })), "{missing:?}");
        assert!(matches!(read_header(&missing, &ReadOptions::default()), Err(Error::Os { .. })), "{missing:?}");
    }
    let stale = ReadOptions { ignore_checksum: true, ..Default::default() };
    let (_, header) = read_bytes(&replaced(&nersc, "337cf07b", "337cf07c"), &stale).unwrap();
    assert!(header.warnings.iter().any(|w| w.contains("337cf07c")), "{:?}", header.warnings);
}

#[test]
fn every_changed_payload_byte_is_noticed() {
    let mut rng = Stream::new(11, Purpose::Start, 0).site(0);
    for name in NAMES {
        let mut bytes = load(name);
        let header = read_header_bytes(&bytes, &options(name)).unwrap();
        if header.checksums.is_empty() || header.format == Format::Npz {
            continue;
        }
        let start = match header.format {
            Format::Milc => 96,
            Format::Nersc => find(&bytes, b"END_HEADER\n") + 11,
            _ => header.records.iter().find(|r| r.kind.ends_with("binary-data")).unwrap().offset as usize,
        };
        let end = if header.format == Format::Nersc { bytes.len() } else { start + 40_000 };
        for _ in 0..40 {
            let (at, flip) = (start + rng.random_range(0..end - start), 1 << rng.random_range(0..8));
            bytes[at] ^= flip;
            let error = refusal(&bytes, &options(name));
            assert!(error.message.contains("sum to"), "{name} byte {at}: {error}");
            bytes[at] ^= flip;
        }
    }
}

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1000000000",
    "4294967296",
    "99999999999999999999",
    "-9223372036854775808",
    "1e400",
    "nan",
    "",
    "0x7f",
    "3.5",
    "16",
];
const WORDS: [u32; 7] = [0, 1, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000, 1_000_000_000, 65536];

/// One random change: flipped bytes, nasty words or numbers in the header, truncation, insertion, removal, repetition.
fn mutate(bytes: &mut Vec<u8>, rng: &mut SiteRng) {
    let length = bytes.len();
    let head = length.min(2500);
    let (somewhere, early) = (rng.random_range(0..length), rng.random_range(0..head));
    match rng.random_range(0..9) {
        0 => {
            (0..=rng.random_range(0..8)).for_each(|_| bytes[rng.random_range(0..length)] ^= 1 << rng.random_range(0..8))
        }
        1 => (0..=rng.random_range(0..4)).for_each(|_| bytes[rng.random_range(0..head)] ^= 1 << rng.random_range(0..8)),
        2 => bytes.truncate(somewhere),
        3 => bytes.truncate(early),
        4 => drop(bytes.splice(early..early, vec![rng.random_range(0..256) as u8; 1 + rng.random_range(0..64)])),
        5 => drop(bytes.drain(early..(early + 1 + rng.random_range(0..300)).min(length))),
        6 => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            let at = (early / 4 * 4).min(length.saturating_sub(4));
            let with = if rng.random_range(0..2) == 0 { word.to_le_bytes() } else { word.to_be_bytes() };
            bytes.splice(at..(at + 4).min(length), with);
        }
        7 => {
            let digits: Vec<usize> = (0..head).filter(|&i| bytes[i].is_ascii_digit()).collect();
            if let Some(&at) = digits.get(rng.random_range(0..digits.len().max(1))) {
                bytes.splice(at..at + 1, NUMBERS[rng.random_range(0..NUMBERS.len())].bytes());
            }
        }
        _ => {
            let piece = bytes[early..(early + 1 + rng.random_range(0..2000)).min(length)].to_vec();
            drop(bytes.splice(somewhere..somewhere, piece));
        }
    }
}

/// Reads mutants of a file; returns how many were read without an error.
fn survive(name: &str, original: &[u8], options: &ReadOptions, rounds: u32, stream: &Stream) -> u32 {
    let mut read = 0;
    for round in 0..rounds {
        let mut rng = stream.site(round);
        let mut bytes = original.to_vec();
        mutate(&mut bytes, &mut rng);
        if !bytes.is_empty() && rng.random_range(0..3) == 0 {
            mutate(&mut bytes, &mut rng);
        }
        let (start, held) = (Instant::now(), HELD.get());
        MOST.set(held);
        let tolerant = ReadOptions { ignore_checksum: rng.random_range(0..2) == 0, ..options.clone() };
        let header = read_header_bytes(&bytes, &tolerant).is_ok();
        let links = read_bytes(&bytes, &tolerant).is_ok();
        read += u32::from(header && links);
        let bound = 8 * bytes.len() as isize + (1 << 18);
        assert!(MOST.get() - held < bound, "{name} round {round}: {} bytes held", MOST.get() - held);
        assert!(start.elapsed() < Duration::from_secs(2), "{name} round {round} hangs");
    }
    read
}

const ROUNDS: u32 = 1000;

#[test]
fn mutants_of_real_files_neither_panic_nor_hang_nor_take_memory() {
    for (index, name) in NAMES.iter().enumerate() {
        let stream = Stream::new(5, Purpose::Start, index as u64);
        let read = survive(name, &load(name), &options(name), ROUNDS, &stream);
        assert!(read < ROUNDS, "{name}: every mutant was accepted");
    }
}

#[test]
fn mutants_of_written_files_neither_panic_nor_hang_nor_take_memory() {
    let formats = [Format::OpenQcd, Format::Npy, Format::Npz, Format::Nersc, Format::Ildg];
    for (format, index) in formats.into_iter().zip(100..) {
        let stream = Stream::new(5, Purpose::Start, index);
        let read = survive(format.name(), &written(format), &ReadOptions::default(), ROUNDS, &stream);
        assert!(read < ROUNDS, "{format:?}: every mutant was accepted");
        let fixed = ReadOptions { format: Some(format), ..Default::default() };
        survive(format.name(), &load("lat.sample.l4444.ildg"), &fixed, 50, &stream);
    }
}
