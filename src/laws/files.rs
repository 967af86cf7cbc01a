//! Gauge fields in files: real configurations against their recorded values, and round trips that keep every bit.

use crate::io::{ByteOrder, Format, Header, LinkArray, ReadOptions, WriteOptions};
use crate::io::{read, read_bytes, read_header, read_header_bytes, to_bytes, write};
use crate::random::{Purpose, Stream};
use num_complex::Complex64;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn known(shape: &[usize], n_colors: usize) -> ReadOptions {
    ReadOptions { shape: Some(shape.to_vec()), n_colors: Some(n_colors), ..Default::default() }
}

fn load(name: &str) -> (LinkArray, Header) {
    let options = match name {
        "su2_heatbath_4444.ildg" => known(&[4; 4], 2),
        "su4_heatbath_4444.ildg" => known(&[4; 4], 4),
        _ => ReadOptions::default(),
    };
    read(path(name), &options).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() < tolerance, "{what}: {found} instead of {expected}");
}

/// Product of links along directions that wrap or close, starting at `site`: trace / N.
fn trace_of(links: &LinkArray, start: usize, steps: &[(usize, bool)]) -> Complex64 {
    let n = links.n_colors;
    let volume = links.volume();
    let element = |mu: usize, site: usize, a: usize, b: usize| links.data[((mu * volume + site) * n + a) * n + b];
    let mut product: Vec<Complex64> =
        (0..n * n).map(|i| Complex64::from(f64::from(u8::from(i % (n + 1) == 0)))).collect();
    let mut site = start;
    for &(mu, forward) in steps {
        let from = if forward { site } else { (0..volume).find(|&y| links.forward(y, mu) == site).unwrap() };
        let u = |a, b| if forward { element(mu, from, a, b) } else { element(mu, from, b, a).conj() };
        product = (0..n * n).map(|i| (0..n).map(|c| product[i / n * n + c] * u(c, i % n)).sum()).collect();
        site = if forward { links.forward(site, mu) } else { from };
    }
    assert_eq!(site, start);
    (0..n).map(|a| product[a * (n + 1)]).sum::<Complex64>() / n as f64
}

fn average(links: &LinkArray, steps: &[(usize, bool)]) -> Complex64 {
    (0..links.volume()).map(|x| trace_of(links, x, steps)).sum::<Complex64>() / links.volume() as f64
}

fn plane(links: &LinkArray, mu: usize, nu: usize) -> f64 {
    average(links, &[(mu, true), (nu, true), (mu, false), (nu, false)]).re
}

fn polyakov(links: &LinkArray, mu: usize) -> Complex64 {
    average(links, &vec![(mu, true); links.extents[mu]])
}

/// (file, format, shape, colours, precision, plaquette, tolerance)
type Known = (&'static str, Format, [usize; 4], usize, u32, f64, f64);

const FILES: [Known; 14] = [
    ("testconf.txt", Format::Bridge, [4; 4], 3, 64, 0.587818337847024, 2e-15),
    ("lat.sample.l4444", Format::Milc, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.ildg", Format::Ildg, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.scidac", Format::Scidac, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.nersc", Format::Nersc, [4; 4], 3, 32, 0.594850158947, 2e-9),
    ("lat.sample.l4448", Format::Milc, [4, 4, 4, 8], 3, 32, 0.569055724369, 1e-12),
    ("lat.sample.l4448.gf", Format::Milc, [4, 4, 4, 8], 3, 32, 0.569055724369, 2e-9),
    ("lat.sample.l4448.scidac", Format::Scidac, [4, 4, 4, 8], 3, 32, 0.569055724369, 1e-12),
    ("lat.sample.inst", Format::Milc, [4; 4], 3, 32, 2.973028 / 3.0, 2e-7),
    ("random-gauge.qio", Format::Ildg, [4, 4, 4, 8], 3, 64, 0.994764948925992, 3e-15),
    ("random-gauge.nersc", Format::Nersc, [4, 4, 4, 8], 3, 32, 0.994764948925992, 2e-10),
    ("sample_4x4x4x4_su2.orig.mdp", Format::Mdp, [4; 4], 2, 64, 0.584163743748223, 1e-15),
    ("su2_heatbath_4444.ildg", Format::Ildg, [4; 4], 2, 64, 0.47764126331268303, 1e-15),
    ("su4_heatbath_4444.ildg", Format::Ildg, [4; 4], 4, 64, 0.3440725748564459, 1e-15),
];

#[test]
fn real_files_have_their_recorded_plaquette() {
    for (name, format, shape, n, precision, plaquette, tolerance) in FILES {
        let (links, header) = load(name);
        close(links.plaquette().unwrap().unwrap(), plaquette, tolerance, name);
        assert_eq!((header.format, &links.extents[..], links.n_colors), (format, &shape[..], n), "{name}");
        assert_eq!(header.precision, Some(precision), "{name}");
    }
}

#[test]
fn planes_links_and_polyakov_loops_point_the_right_way() {
    let three =
        |links: &LinkArray, planes: [(usize, usize); 3]| planes.map(|(m, n)| plane(links, m, n)).iter().sum::<f64>();
    let (space, time) = ([(0, 1), (0, 2), (1, 2)], [(0, 3), (1, 3), (2, 3)]);
    let (l4444, l4448) = (load("lat.sample.l4444").0, load("lat.sample.l4448").0);
    close(three(&l4444, space), 1.794675156076173, 1e-10, "l4444 space-space");
    close(three(&l4444, time), 1.7744257976067317, 1e-10, "l4444 space-time");
    close(l4444.link_trace(), 0.646758737418963, 1e-10, "l4444 link trace");
    close(three(&l4448, space), 1.723748, 1e-6, "l4448 space-space");
    close(three(&l4448, time), 1.690586, 1e-6, "l4448 space-time");
    close(l4448.link_trace(), 6.921659e-02, 1e-8, "l4448 link trace");
    let twin = load("lat.sample.l4448.gf").0;
    for loops in [polyakov(&l4448, 3), polyakov(&twin, 3)] {
        close((3.0 * loops - Complex64::new(2.299696e-03, 1.676328e-03)).norm(), 0.0, 1e-7, "l4448 Polyakov loop");
    }
    close(load("lat.sample.inst").0.link_trace(), 0.9916278, 1e-6, "instanton link trace");

    let qio = load("random-gauge.qio").0;
    let loops = [(0.96722258736, -0.00121316529), (0.96703205801, -0.00129617000), (0.96746751651, -0.00114548283)];
    for (mu, (re, im)) in loops.into_iter().chain([(0.87953894166, -0.01044028488)]).enumerate() {
        close((polyakov(&qio, mu) - Complex64::new(re, im)).norm(), 0.0, 3e-7, "qio Polyakov loop");
    }
    let planes = [(0, 1, 0.994752411), (0, 2, 0.995051670), (1, 2, 0.994598524), (0, 3, 0.994927933)];
    for (mu, nu, value) in planes.into_iter().chain([(1, 3, 0.994742132), (2, 3, 0.994516198)]) {
        close(plane(&qio, mu, nu), value, 3e-7, "qio plane");
    }
}

#[test]
fn files_of_one_field_agree_element_by_element() {
    let pairs = [
        ("lat.sample.l4444", "lat.sample.l4444.ildg", 0.0),
        ("lat.sample.l4444", "lat.sample.l4444.scidac", 0.0),
        ("lat.sample.l4444", "lat.sample.l4444.nersc", 3e-7),
        ("lat.sample.l4448", "lat.sample.l4448.scidac", 0.0),
        ("random-gauge.qio", "random-gauge.nersc", 3e-7),
    ];
    for (a, b, tolerance) in pairs {
        let (first, second) = (load(a).0, load(b).0);
        let difference = first.data.iter().zip(&second.data).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max);
        assert!(difference <= tolerance, "{a} and {b} differ by {difference:e}");
    }
}

#[test]
fn headers_say_what_the_files_say() {
    for (name, format, ..) in FILES {
        let header = read_header(path(name), &ReadOptions::default()).unwrap();
        assert_eq!(header.format, format, "{name}");
    }
    let sums = |name: &str| read_header(path(name), &ReadOptions::default()).unwrap().checksums;
    let values = |name: &str| sums(name).iter().map(|c| c.value).collect::<Vec<_>>();
    assert_eq!(values("lat.sample.l4444"), [0x2352c05, 0xd137321d]);
    assert_eq!(values("lat.sample.l4444.ildg"), [0x37affb9c, 0x2fc07bbf]);
    assert_eq!(values("random-gauge.nersc"), [0x337cf07b]);

    let header = read_header(path("random-gauge.nersc"), &ReadOptions::default()).unwrap();
    assert_eq!((header.plaquette, header.link_trace, header.rows), (Some(0.994765), Some(0.379318), Some(2)));
    assert!(header.metadata.contains(&("CREATOR".into(), "QDP++".into())));
    let header = read_header(path("lat.sample.l4444.ildg"), &ReadOptions::default()).unwrap();
    assert_eq!(header.records.len(), 8);
    assert_eq!((header.records[6].kind.as_str(), header.records[6].size), ("ildg-binary-data", 73728));
    assert!(header.metadata.contains(&("ildg-data-lfn".into(), "lfn://USQCD/MILC/test/lat.sample.l4444".into())));
    let header = read_header(path("su4_heatbath_4444.ildg"), &ReadOptions::default()).unwrap();
    assert_eq!((header.shape, header.n_colors), (None, None));

    let (_, header) = load("lat.sample.l4444.nersc");
    let all = header.warnings.join("\n");
    assert!(all.contains("CHECKSUM is 0") && all.contains("ffc4bb26") && all.contains("1 trailing"), "{all}");
}

#[test]
fn written_files_carry_the_checksums_of_the_originals() {
    let sums = |name: &str, format, rows| {
        let options = WriteOptions { precision: 32, rows, ..Default::default() };
        let bytes = to_bytes(&load(name).0, format, &options).unwrap();
        let header = read_header_bytes(&bytes, &ReadOptions::default()).unwrap();
        header.checksums.iter().map(|c| c.value).collect::<Vec<_>>()
    };
    assert_eq!(sums("lat.sample.l4448", Format::Nersc, Some(2)), [0xb3be9b3b]);
    assert_eq!(sums("lat.sample.l4444", Format::Nersc, Some(2)), [0xffc4bb26]);
    assert_eq!(sums("lat.sample.l4444", Format::Ildg, None), [0x37affb9c, 0x2fc07bbf]);
    assert_eq!(sums("lat.sample.l4444.nersc", Format::Nersc, Some(2)), [0xffc4bb26]);
    assert_eq!(sums("lat.sample.l4448", Format::Scidac, None), [0x1c5a6cb5, 0x5dea327a]);
}

/// Random links from Gram-Schmidt orthonormalisation, the phase of the determinant taken out of the last row.
fn random_links(extents: &[usize], n: usize) -> LinkArray {
    let stream = Stream::new(7, Purpose::Start, n as u64);
    let links = extents.len() * extents.iter().product::<usize>();
    let mut data = Vec::new();
    for index in 0..links {
        let mut rng = stream.site(index as u32);
        let mut u: Vec<Complex64> =
            (0..n * n).map(|_| Complex64::new(rng.sample(StandardNormal), rng.sample(StandardNormal))).collect();
        for a in 0..n {
            for b in 0..a {
                let overlap: Complex64 = (0..n).map(|c| u[b * n + c].conj() * u[a * n + c]).sum();
                (0..n).for_each(|c| u[a * n + c] = u[a * n + c] - overlap * u[b * n + c]);
            }
            let norm = (0..n).map(|c| u[a * n + c].norm_sqr()).sum::<f64>().sqrt();
            (0..n).for_each(|c| u[a * n + c] /= norm);
        }
        if n > 1 {
            let phase = determinant(&u, n);
            (0..n).for_each(|c| u[(n - 1) * n + c] *= phase.conj());
        }
        data.extend(u);
    }
    LinkArray { extents: extents.to_vec(), n_colors: n, data }
}

/// Laplace expansion along the first row.
fn determinant(u: &[Complex64], n: usize) -> Complex64 {
    if n == 1 {
        return u[0];
    }
    let minor = |k: usize| (n..n * n).filter(|i| i % n != k).map(|i| u[i]).collect::<Vec<_>>();
    (0..n).map(|k| u[k] * determinant(&minor(k), n - 1) * if k % 2 == 0 { 1.0 } else { -1.0 }).sum()
}

fn options(precision: u32, rows: Option<usize>, metadata: &[(&str, &str)]) -> WriteOptions {
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    WriteOptions { precision, rows, metadata, ..Default::default() }
}

#[test]
fn write_then_read_keeps_every_bit_and_the_metadata() {
    let shapes: [&[usize]; 5] = [&[2, 4, 6, 8], &[3, 2, 5, 4], &[4, 3, 5], &[6, 5], &[7]];
    let metadata = [("BETA", "5.7"), ("note", "a < b & \"c\" \u{b5}"), ("empty", "")];
    for (n, shape) in (1..=4).chain([8]).flat_map(|n| shapes.map(|s| (n, s))) {
        if n > 4 && shape.len() > 3 {
            continue;
        }
        let links = random_links(shape, n);
        for format in [Format::Nersc, Format::Ildg, Format::Scidac, Format::Npy, Format::Npz] {
            let Some(metadata) = allowed(format, shape, &metadata) else { continue };
            let bytes = to_bytes(&links, format, &options(64, None, metadata)).unwrap();
            let (back, header) =
                read_bytes(&bytes, &ReadOptions::default()).unwrap_or_else(|e| panic!("{format:?} {e}"));
            assert!(links == back, "{format:?} SU({n}) {shape:?}");
            assert_eq!((header.format, header.precision, header.rows), (format, Some(64), Some(n)));
            for (key, value) in metadata {
                assert!(header.metadata.contains(&(key.to_string(), value.to_string())), "{format:?} {key}");
            }
        }
    }
}

/// Metadata that the format can hold; `None` if it cannot hold such a lattice.
fn allowed<'a>(format: Format, shape: &[usize], all: &'a [(&'a str, &'a str)]) -> Option<&'a [(&'a str, &'a str)]> {
    match format {
        Format::Ildg if shape.len() != 4 => None,
        Format::Npy => Some(&[]),
        _ => Some(all),
    }
}

#[test]
fn single_precision_and_two_rows_lose_only_rounding() {
    for n in (1..=4).chain([8]) {
        let links = random_links(&[2, 3, 1, 5], n);
        for (format, precision, rows) in [
            (Format::Nersc, 32, None),
            (Format::Nersc, 64, Some(n - 1)),
            (Format::Nersc, 32, Some(n - 1)),
            (Format::Ildg, 32, None),
            (Format::Npz, 32, None),
            (Format::Npy, 32, None),
        ] {
            let rows = rows.filter(|&r| r > 0);
            let bytes = to_bytes(&links, format, &options(precision, rows, &[])).unwrap();
            let (back, header) = read_bytes(&bytes, &ReadOptions::default()).unwrap();
            let difference = links.data.iter().zip(&back.data).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max);
            let tolerance = if precision == 32 { 5e-7 } else { 1e-14 };
            assert!(difference < tolerance, "{format:?} SU({n}) {precision} {rows:?}: {difference:e}");
            assert_eq!(header.rows, Some(rows.unwrap_or(n)));
        }
    }
}

#[test]
fn openqcd_order_is_that_of_its_description() {
    let (lx, ly, lz, lt) = (2, 4, 6, 8);
    let links = random_links(&[lx, ly, lz, lt], 3);
    let mut expected: Vec<u8> = [lt, lx, ly, lz].iter().flat_map(|&l| (l as i32).to_le_bytes()).collect();
    expected.extend((3.0 * links.plaquette().unwrap().unwrap()).to_le_bytes());
    let mut push = |mu: usize, x: [usize; 4]| {
        let index = (((mu * lx + x[0]) * ly + x[1]) * lz + x[2]) * lt + x[3];
        links.data[9 * index..9 * index + 9].iter().for_each(|z| {
            expected.extend(z.re.to_le_bytes());
            expected.extend(z.im.to_le_bytes());
        });
    };
    for i in 0..lt * lx * ly * lz {
        let (t, x, y, z) = (i / (lx * ly * lz), i / (ly * lz) % lx, i / lz % ly, i % lz);
        if (t + x + y + z) % 2 == 1 {
            push(3, [x, y, z, t]);
            push(3, [x, y, z, (t + lt - 1) % lt]);
            push(0, [x, y, z, t]);
            push(0, [(x + lx - 1) % lx, y, z, t]);
            push(1, [x, y, z, t]);
            push(1, [x, (y + ly - 1) % ly, z, t]);
            push(2, [x, y, z, t]);
            push(2, [x, y, (z + lz - 1) % lz, t]);
        }
    }
    let bytes = to_bytes(&links, Format::OpenQcd, &WriteOptions::default()).unwrap();
    assert!(bytes == expected);
    let (back, header) = read_bytes(&bytes, &ReadOptions::default()).unwrap();
    assert!(back == links);
    assert_eq!(header.format, Format::OpenQcd);
    close(header.plaquette.unwrap(), links.plaquette().unwrap().unwrap(), 1e-15, "plaquette");
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap_or_else(|| panic!("no {from}"));
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// The same NERSC file with little-endian words.
fn little_endian(bytes: &[u8], width: usize, name: &str) -> Vec<u8> {
    let mark = b"END_HEADER\n";
    let start = bytes.windows(mark.len()).position(|w| w == mark).unwrap() + mark.len();
    let data: Vec<u8> =
        bytes[start..].chunks(width).flat_map(|c| c.iter().rev().copied().collect::<Vec<_>>()).collect();
    let head = replaced(&bytes[..start], &format!("IEEE{}BIG", 8 * width), name);
    [head, data].concat()
}

#[test]
fn nersc_byte_order_is_stated_or_found() {
    let links = random_links(&[2, 4, 2, 6], 3);
    for (precision, rows) in [(32, Some(2)), (32, None), (64, Some(2)), (64, None)] {
        let big = to_bytes(&links, Format::Nersc, &options(precision, rows, &[])).unwrap();
        let expected = read_bytes(&big, &ReadOptions::default()).unwrap().0;
        let sum = read_header_bytes(&big, &ReadOptions::default()).unwrap().checksums[0].value;
        let none = |b: &[u8]| replaced(b, &format!("CHECKSUM = {sum:x}"), "CHECKSUM = 0");
        let prefixed = |b: &[u8]| replaced(b, &format!("CHECKSUM = {sum:x}"), &format!("CHECKSUM = 0x{sum:X}"));
        let (stated, plain) = (format!("IEEE{precision}LITTLE"), format!("IEEE{precision}"));
        let width = precision as usize / 8;
        let (little, unstated) = (little_endian(&big, width, &stated), little_endian(&big, width, &plain));
        let plain_big = replaced(&big, &format!("IEEE{precision}BIG"), &plain);
        let files = [(&little, ByteOrder::Little), (&unstated, ByteOrder::Little), (&plain_big, ByteOrder::Big)];
        for (file, order) in files {
            for variant in [file.clone(), none(file), prefixed(file)] {
                let (back, header) = read_bytes(&variant, &ReadOptions::default()).unwrap();
                assert!(back == expected, "{precision} {rows:?} {order:?}");
                assert_eq!(header.byte_order, Some(order));
            }
        }
        let lie = replaced(&little, &stated, &format!("IEEE{precision}BIG"));
        assert!(read_bytes(&lie, &ReadOptions::default()).unwrap_err().to_string().contains("CHECKSUM"));
    }
}

#[test]
fn two_row_files_of_other_groups_are_recognised_by_their_length() {
    let links = random_links(&[2, 3, 4, 2], 2);
    let bytes = to_bytes(&links, Format::Nersc, &options(64, None, &[])).unwrap();
    let (back, header) = read_bytes(&replaced(&bytes, "GAUGE_2x2", "GAUGE"), &ReadOptions::default()).unwrap();
    assert!(back == links && header.rows == Some(2));
}

#[test]
fn arrays_saved_by_numpy_are_read() {
    for (name, metadata) in [("numpy_u1.npz", 0), ("numpy_u1_compressed.npz", 1)] {
        let (links, header) = load(name);
        assert_eq!((&links.extents[..], links.n_colors, header.metadata.len()), (&[2, 3][..], 1, metadata));
        for (k, z) in links.data.iter().enumerate() {
            close((z - Complex64::cis(0.1 * k as f64)).norm(), 0.0, 1e-15, name);
        }
    }
}

#[test]
fn xml_with_namespaces_and_references_is_read() {
    let links = random_links(&[2, 2, 2, 4], 3);
    let bytes = to_bytes(&links, Format::Ildg, &WriteOptions::default()).unwrap();
    let from = "<version>1.0</version><field>su3gauge</field>";
    let moved = replaced(&bytes, from, "<q:field>&#115;u&#x33;gauge</q:field>        ");
    assert!(read_bytes(&moved, &ReadOptions::default()).unwrap().0 == links);
}

#[test]
fn open_boundaries_are_recognised() {
    let mut links = random_links(&[2, 2, 2, 4], 3);
    let volume = links.volume();
    for site in (0..volume).filter(|x| x % 4 == 3) {
        let start = 9 * (3 * volume + site);
        links.data[start..start + 9].fill(Complex64::ZERO);
    }
    assert_eq!(links.open_slice(), Some(3));
    let exists = |nu: usize, x: usize| nu < 3 || x % 4 != 3;
    let planes = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
    let square = |mu: usize, nu: usize| [(mu, true), (nu, true), (mu, false), (nu, false)];
    let mut sums = [0.0; 3];
    for (mu, nu) in planes {
        for x in (0..volume).filter(|&x| exists(nu, x)) {
            let trace = trace_of(&links, x, &square(mu, nu)).re;
            sums[0] += trace;
            sums[1] += if nu < 3 && [0, 3].contains(&(x % 4)) { 0.5 * trace } else { trace };
            sums[2] += 1.0;
        }
    }
    assert_eq!(sums[2], (6 * 4 - 3) as f64 * 8.0);
    close(links.plaquette().unwrap().unwrap(), sums[0] / sums[2], 1e-14, "mean of the plaquettes that exist");
    for format in [Format::Ildg, Format::Nersc, Format::OpenQcd, Format::Npz] {
        let bytes = to_bytes(&links, format, &WriteOptions::default()).unwrap();
        let (back, header) = read_bytes(&bytes, &ReadOptions::default()).unwrap();
        assert!(back == links && header.boundary == Some("open"), "{format:?}");
    }
    let mut bytes = to_bytes(&links, Format::OpenQcd, &WriteOptions::default()).unwrap();
    let written = f64::from_le_bytes(bytes[16..24].try_into().unwrap());
    close(written, 3.0 * sums[1] / (18 * 8) as f64, 1e-13, "weighted mean of openQCD");
    for other in [3.0 * sums[0] / sums[2], 3.0 * sums[0] / (24 * 8) as f64] {
        bytes[16..24].copy_from_slice(&other.to_le_bytes());
        assert!(read_bytes(&bytes, &ReadOptions::default()).is_ok());
    }
    bytes[16..24].copy_from_slice(&(written + 1e-8).to_le_bytes());
    assert!(read_bytes(&bytes, &ReadOptions::default()).is_err());
    // One missing link, or missing links in space, are no boundary.
    let mut damaged = random_links(&[2, 2, 2, 4], 3);
    damaged.data[9 * (3 * volume + 3)..][..9].fill(Complex64::ZERO);
    assert_eq!(damaged.open_slice(), None);
    let text = to_bytes(&damaged, Format::Ildg, &WriteOptions::default()).unwrap_err().to_string();
    assert!(text.contains("U_3[0, 0, 0, 3]"), "{text}");
    let all = WriteOptions { allow_nonunitary: true, ..Default::default() };
    let bytes = to_bytes(&damaged, Format::Ildg, &all).unwrap();
    let text = read_bytes(&bytes, &ReadOptions::default()).unwrap_err().to_string();
    assert!(text.contains("U_3[0, 0, 0, 3]") && text.contains("1.0e0") && text.contains("allow_nonunitary"), "{text}");
    let tolerant = ReadOptions { allow_nonunitary: true, ..Default::default() };
    let (back, header) = read_bytes(&bytes, &tolerant).unwrap();
    assert!(back == damaged && header.warnings.iter().any(|w| w.contains("violates unitarity")));
    assert_eq!(header.boundary, Some("periodic"));
}

/// Doubles of the link of direction `mu` at (x, y, z, t).
fn doubles(links: &LinkArray, mu: usize, x: [usize; 4]) -> Vec<f64> {
    let [lx, ly, lz, lt] = links.extents[..] else { panic!("four extents") };
    let (size, index) = (links.n_colors.pow(2), (((mu * lx + x[0]) * ly + x[1]) * lz + x[2]) * lt + x[3]);
    links.data[size * index..size * (index + 1)].iter().flat_map(|z| [z.re, z.im]).collect()
}

/// HiRep's file (archive.c): big-endian N, T, X, Y, Z, plaquette; sites t, x, y, z with z fastest; directions t, x, y, z.
fn hirep(links: &LinkArray, quaternions: bool) -> Vec<u8> {
    let [lx, ly, lz, lt] = links.extents[..] else { panic!("four extents") };
    let mut bytes: Vec<u8> = [links.n_colors, lt, lx, ly, lz].iter().flat_map(|&l| (l as i32).to_be_bytes()).collect();
    bytes.extend(links.plaquette().unwrap().unwrap().to_be_bytes());
    for i in 0..links.volume() {
        let x = [i / (lz * ly) % lx, i / lz % ly, i % lz, i / (lz * ly * lx)];
        for mu in [3, 0, 1, 2] {
            let m = doubles(links, mu, x);
            let numbers = if quaternions { vec![m[0], m[3], -m[2], m[1]] } else { m };
            bytes.extend(numbers.iter().flat_map(|v| v.to_be_bytes()));
        }
    }
    bytes
}

#[test]
fn hirep_files_are_read_against_their_plaquette() {
    for (n, quaternions) in [(2, false), (2, true), (3, false), (4, false)] {
        let links = random_links(&[2, 4, 3, 5], n);
        let mut bytes = hirep(&links, quaternions);
        let (back, header) = read_bytes(&bytes, &ReadOptions::default()).unwrap();
        let difference = back.data.iter().zip(&links.data).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
        assert!(back.extents == links.extents && difference < 1e-14, "SU({n}): {difference:e}");
        assert_eq!((header.format, header.shape, header.n_colors), (Format::HiRep, Some(vec![2, 4, 3, 5]), Some(n)));
        assert_eq!(read_header_bytes(&bytes, &ReadOptions::default()).unwrap().plaquette, header.plaquette);
        bytes[27] ^= 1;
        assert!(read_bytes(&bytes, &ReadOptions::default()).is_ok());
        bytes[22] ^= 1;
        let text = read_bytes(&bytes, &ReadOptions::default()).unwrap_err().to_string();
        assert!(text.contains("hirep: field PLAQUETTE") && !text.contains("ignore"), "{text}");
    }
}

/// DDalphaAMG's file (io.c, read_conf): openQCD's header with extents t, z, y, x; x fastest; directions t, z, y, x.
fn ddalphaamg(links: &LinkArray) -> Vec<u8> {
    let [lx, ly, lz, lt] = links.extents[..] else { panic!("four extents") };
    let mut bytes: Vec<u8> = [lt, lz, ly, lx].iter().flat_map(|&l| (l as i32).to_le_bytes()).collect();
    bytes.extend((3.0 * links.plaquette().unwrap().unwrap()).to_le_bytes());
    for i in 0..links.volume() {
        let x = [i % lx, i / lx % ly, i / (lx * ly) % lz, i / (lx * ly * lz)];
        for mu in [3, 2, 1, 0] {
            bytes.extend(doubles(links, mu, x).iter().flat_map(|v| v.to_le_bytes()));
        }
    }
    bytes
}

#[test]
fn ddalphaamg_and_openqcd_are_told_apart_by_the_plaquette() {
    for extents in [[4; 4], [2, 4, 6, 8], [2, 3, 4, 5]] {
        let links = random_links(&extents, 3);
        let bytes = ddalphaamg(&links);
        let header = read_header_bytes(&bytes, &ReadOptions::default());
        let (back, read) = read_bytes(&bytes, &ReadOptions::default()).unwrap();
        assert!(back == links, "{extents:?}");
        assert_eq!((read.format, header.unwrap().format), (Format::DdAlphaAmg, Format::DdAlphaAmg));
    }
    let links = random_links(&[2, 4, 6, 8], 3);
    let open = to_bytes(&links, Format::OpenQcd, &WriteOptions::default()).unwrap();
    assert_eq!(read_header_bytes(&open, &ReadOptions::default()).unwrap().format, Format::OpenQcd);
    let mut neither = ddalphaamg(&links);
    neither[16..24].copy_from_slice(&0.5f64.to_le_bytes());
    let text = read_bytes(&neither, &ReadOptions::default()).unwrap_err().to_string();
    assert!(text.contains("neither openQCD's nor DDalphaAMG's") && !text.contains("ignore"), "{text}");
}

#[test]
fn files_on_disk_appear_complete_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("plaq-io-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let links = random_links(&[2, 3, 4, 2], 2);
    for name in ["a.nersc", "a.ildg", "a.lime", "a.scidac", "a.npy", "a.npz"] {
        write(folder.join(name), &links, &WriteOptions::default()).unwrap();
        assert!(read(folder.join(name), &ReadOptions::default()).unwrap().0 == links, "{name}");
    }
    let broken = LinkArray { data: vec![], ..links.clone() };
    assert!(write(folder.join("b.ildg"), &broken, &WriteOptions::default()).is_err());
    assert!(write(folder.join("no/such/folder.ildg"), &links, &WriteOptions::default()).is_err());
    assert!(
        write(folder.join("b.dat"), &links, &WriteOptions::default()).unwrap_err().to_string().contains("extension")
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 6, "nothing else may be left behind");
    std::fs::remove_dir_all(folder).unwrap();
}
