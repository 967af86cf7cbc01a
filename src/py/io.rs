//! Python: gauge configurations in files.

use super::door::enter;
use super::gauge::Gauge;
use crate::any::AnyGauge;
use crate::error::Result;
use crate::io::{self, Format, Header, LinkArray, ReadOptions, WriteOptions};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

fn options(
    format: Option<&str>,
    shape: Option<Vec<usize>>,
    n_colors: Option<usize>,
    allow_nonunitary: bool,
    ignore_checksum: bool,
) -> Result<ReadOptions> {
    let format = format.map(Format::from_name).transpose()?;
    // One site in a direction is a lattice in a file, but not in the core.
    Ok(ReadOptions { format, shape, n_colors, allow_nonunitary, ignore_checksum, smallest_extent: 2 })
}

fn to_dict<'py>(py: Python<'py>, header: &Header) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("format", header.format.name())?;
    dict.set_item("shape", header.shape.clone())?;
    dict.set_item("n_colors", header.n_colors)?;
    dict.set_item("precision", header.precision)?;
    dict.set_item("rows", header.rows)?;
    dict.set_item("byte_order", header.byte_order.map(io::ByteOrder::name))?;
    let checksums = PyDict::new(py);
    for sum in &header.checksums {
        checksums.set_item(&sum.name, sum.value)?;
    }
    dict.set_item("checksums", checksums)?;
    dict.set_item("plaquette", header.plaquette)?;
    dict.set_item("link_trace", header.link_trace)?;
    dict.set_item("boundary", header.boundary)?;
    let metadata = PyDict::new(py);
    for (key, value) in &header.metadata {
        metadata.set_item(key, value)?;
    }
    dict.set_item("metadata", metadata)?;
    let records: Vec<_> = header.records.iter().map(|r| (r.kind.clone(), r.offset, r.size)).collect();
    dict.set_item("records", records)?;
    dict.set_item("warnings", header.warnings.clone())?;
    Ok(dict)
}

#[pyfunction]
#[pyo3(signature = (path, format, shape, n_colors, allow_nonunitary, ignore_checksum))]
fn read_gauge<'py>(
    py: Python<'py>,
    path: PathBuf,
    format: Option<&str>,
    shape: Option<Vec<usize>>,
    n_colors: Option<usize>,
    allow_nonunitary: bool,
    ignore_checksum: bool,
) -> PyResult<(Gauge, Bound<'py, PyDict>)> {
    let options = options(format, shape, n_colors, allow_nonunitary, ignore_checksum)?;
    let (field, header) = enter(py, || {
        let (links, header) = io::read(&path, &options)?;
        Ok((AnyGauge::from_array(&links.extents, links.n_colors, &links.data)?, header))
    })?;
    Ok((field.into(), to_dict(py, &header)?))
}

#[pyfunction]
#[pyo3(signature = (path, format, shape, n_colors))]
fn read_header<'py>(
    py: Python<'py>,
    path: PathBuf,
    format: Option<&str>,
    shape: Option<Vec<usize>>,
    n_colors: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = options(format, shape, n_colors, true, true)?;
    let header = enter(py, || io::read_header(&path, &options))?;
    to_dict(py, &header)
}

#[pyfunction]
#[pyo3(signature = (field, path, format, precision, rows, metadata, allow_nonunitary))]
fn write_gauge(
    py: Python<'_>,
    field: &Gauge,
    path: PathBuf,
    format: Option<&str>,
    precision: u32,
    rows: Option<usize>,
    metadata: Vec<(String, String)>,
    allow_nonunitary: bool,
) -> PyResult<()> {
    let format = format.map(Format::from_name).transpose()?;
    let options = WriteOptions { format, precision, rows, metadata, allow_nonunitary };
    enter(py, || {
        let field = &field.field;
        let links = LinkArray { extents: field.extents().to_vec(), n_colors: field.n_colors(), data: field.to_array() };
        io::write(&path, &links, &options)
    })
}

/// Adds the functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(read_gauge, module)?)?;
    module.add_function(wrap_pyfunction!(read_header, module)?)?;
    module.add_function(wrap_pyfunction!(write_gauge, module)?)
}
