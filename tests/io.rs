//! Gauge fields in files: real configurations against their recorded values, round trips and refusals.

use num_complex::Complex64;
use plaq::error::Error;
use plaq::io::{Format, Header, LinkArray, ReadOptions, WriteOptions, read, read_bytes, read_header, to_bytes};
use plaq::rng::{Purpose, Stream};
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

/// (file, format, shape, colours, precision, plaquette, tolerance)
type Known = (&'static str, Format, [usize; 4], usize, u32, f64, f64);

const FILES: [Known; 14] = [
    ("testconf.txt", Format::Bridge, [4; 4], 3, 64, 0.587818337847024, 1e-14),
    ("lat.sample.l4444", Format::Milc, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.ildg", Format::Ildg, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.scidac", Format::Scidac, [4; 4], 3, 32, 0.594850158947, 1e-12),
    ("lat.sample.l4444.nersc", Format::Nersc, [4; 4], 3, 32, 0.594850158947, 1e-7),
    ("lat.sample.l4448", Format::Milc, [4, 4, 4, 8], 3, 32, 0.569055724369, 1e-12),
    ("lat.sample.l4448.gf", Format::Milc, [4, 4, 4, 8], 3, 32, 0.569055724369, 1e-6),
    ("lat.sample.l4448.scidac", Format::Scidac, [4, 4, 4, 8], 3, 32, 0.569055724369, 1e-12),
    ("lat.sample.inst", Format::Milc, [4; 4], 3, 32, 2.973028 / 3.0, 2e-7),
    ("random-gauge.qio", Format::Ildg, [4, 4, 4, 8], 3, 64, 0.994764948925992, 1e-14),
    ("random-gauge.nersc", Format::Nersc, [4, 4, 4, 8], 3, 32, 0.994764948925992, 1e-7),
    ("sample_4x4x4x4_su2.orig.mdp", Format::Mdp, [4; 4], 2, 64, 0.58416374374822344, 1e-14),
    ("su2_heatbath_4444.ildg", Format::Ildg, [4; 4], 2, 64, 0.47764126331268303, 1e-14),
    ("su4_heatbath_4444.ildg", Format::Ildg, [4; 4], 4, 64, 0.3440725748564459, 1e-14),
];

#[test]
fn real_files_have_their_recorded_plaquette() {
    for (name, format, shape, n, precision, plaquette, tolerance) in FILES {
        let (links, header) = load(name);
        let found = links.plaquette().unwrap().unwrap();
        println!("{name} {found:.15} {:?} {:?}", links.unitarity_violation().unwrap(), header.warnings);
        assert!((found - plaquette).abs() < tolerance, "{name}: {found} instead of {plaquette}");
        assert_eq!((header.format, &links.extents[..], links.n_colors), (format, &shape[..], n), "{name}");
        assert_eq!(header.precision, Some(precision), "{name}");
    }
}
