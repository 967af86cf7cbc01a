//! Networks on disk: safetensors with one tensor a weight and the architecture in the metadata.

use super::architecture::{Architecture, Block};
use super::lattice::{Shell, SpinLattice};
use super::network::Network;
use crate::error::{Error, FormatError, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::HashMap;

/// Value of the metadata entry `format`.
const FORMAT: &str = "plaq.EquivariantAttention.2";

fn fault(field: &str, message: impl Into<String>) -> Error {
    let remedy = "give a file written by EquivariantAttention.save".to_owned();
    FormatError {
        format: "safetensors of a spin network".into(),
        field: field.into(),
        offset: 0,
        message: message.into(),
        remedy,
    }
    .into()
}

impl Block {
    /// Name in files and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Softmax => "softmax",
            Self::Local => "local",
        }
    }

    /// The block called `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::Relu, Self::Softmax, Self::Local]
            .into_iter()
            .find(|b| b.name() == name)
            .ok_or_else(|| Error::value(format!("unknown block \"{name}\": allowed are relu, softmax, local")))
    }
}

/// `(name, length)` of every tensor, in the order of the parameters.
pub fn layout(architecture: &Architecture) -> Vec<(String, usize)> {
    let width = architecture.shells.len() + 1;
    let mut names = Vec::new();
    for (k, block) in architecture.blocks.iter().enumerate() {
        let fields: &[&str] = if *block == Block::Local { &["value", "gate"] } else { &["query", "key", "value"] };
        names.extend(fields.iter().map(|f| (format!("block{k}.{f}"), width)));
        if *block == Block::Local {
            names.push((format!("block{k}.threshold"), 2));
        }
    }
    names.push(("couplings".into(), architecture.coupling_shells.len()));
    names.push(("constant".into(), 1));
    names
}

fn extents_text([x, y]: [usize; 2]) -> String {
    format!("{x},{y}")
}

fn extents_from(text: &str, field: &str) -> Result<[usize; 2]> {
    let pair = text.split_once(',').and_then(|(x, y)| Some([x.parse().ok()?, y.parse().ok()?]));
    pair.ok_or_else(|| fault(field, format!("\"{text}\" are no extents such as 6,6")))
}

fn shells_text(shells: &[Shell]) -> String {
    shells.iter().map(|(a, b)| format!("{a},{b}")).collect::<Vec<_>>().join(";")
}

fn shells_from(text: &str, field: &str) -> Result<Vec<Shell>> {
    let pair = |word: &str| {
        let (a, b) = word.split_once(',')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    text.split(';')
        .filter(|word| !word.is_empty())
        .map(|word| pair(word).ok_or_else(|| fault(field, format!("\"{word}\" is no shell such as 1,0"))))
        .collect()
}

/// The network as bytes of a safetensors file.
pub fn save(network: &Network) -> Result<Vec<u8>> {
    let a = network.architecture();
    let blocks: Vec<_> = a.blocks.iter().map(|b| b.name()).collect();
    let metadata = HashMap::from(
        [
            ("format", FORMAT.to_owned()),
            ("shape", extents_text(network.lattice_extents())),
            ("blocks", blocks.join(",")),
            ("shells", shells_text(&a.shells)),
            ("coupling_shells", shells_text(&a.coupling_shells)),
            ("reference", extents_text(a.reference)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let bytes: Vec<u8> = network.parameters.iter().flat_map(|p| p.to_le_bytes()).collect();
    let mut start = 0;
    let mut tensors = Vec::new();
    for (name, length) in layout(a) {
        let end = start + 8 * length;
        let view = TensorView::new(Dtype::F64, vec![length], &bytes[start..end]);
        tensors.push((name, view.map_err(|e| fault("tensor", e.to_string()))?));
        start = end;
    }
    serialize(tensors, Some(metadata)).map_err(|e| fault("header", e.to_string()))
}

/// The network of a safetensors file.
pub fn load(bytes: &[u8]) -> Result<Network> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| fault("header", e.to_string()))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| fault("header", e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).ok_or_else(|| fault(key, "is missing in the metadata"));
    if entry("format")? != FORMAT {
        return Err(fault("format", format!("is \"{}\", not \"{FORMAT}\"", entry("format")?)));
    }
    let lattice = SpinLattice::new(extents_from(entry("shape")?, "shape")?)?;
    let blocks = entry("blocks")?.split(',').filter(|word| !word.is_empty()).map(Block::from_name);
    let architecture = Architecture {
        blocks: blocks.collect::<Result<_>>()?,
        shells: shells_from(entry("shells")?, "shells")?,
        coupling_shells: shells_from(entry("coupling_shells")?, "coupling_shells")?,
        reference: extents_from(entry("reference")?, "reference")?,
    };
    let mut network = Network::new(lattice, architecture, 0)?;
    network.parameters = read_parameters(&tensors, network.architecture())?;
    Ok(network)
}

fn read_parameters(tensors: &SafeTensors<'_>, architecture: &Architecture) -> Result<Vec<f64>> {
    let mut parameters = Vec::new();
    for (name, length) in layout(architecture) {
        let view = tensors.tensor(&name).map_err(|e| fault(&name, e.to_string()))?;
        if view.dtype() != Dtype::F64 || view.shape() != [length] {
            let found = format!("is {:?} of shape {:?}", view.dtype(), view.shape());
            return Err(fault(
                &name,
                format!("{found}; the architecture in the metadata needs F64 of shape [{length}]"),
            ));
        }
        let words = view.data().chunks_exact(8);
        parameters.extend(words.map(|w| f64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]])));
    }
    if let Some(bad) = parameters.iter().position(|p| !p.is_finite()) {
        return Err(fault("parameters", format!("number {bad} is {}", parameters[bad])));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(blocks: &[Block]) -> Network {
        let lattice = SpinLattice::new([6, 4]).unwrap();
        let architecture = Architecture {
            blocks: blocks.to_vec(),
            shells: vec![(1, 0), (1, 1)],
            coupling_shells: vec![(2, 1)],
            reference: [6, 6],
        };
        let mut network = Network::new(lattice, architecture, 3).unwrap();
        network.parameters.iter_mut().enumerate().for_each(|(k, p)| *p += 0.1 * k as f64);
        network
    }

    #[test]
    fn files_give_back_every_bit() {
        for blocks in [&[][..], &[Block::Relu, Block::Local, Block::Softmax]] {
            let network = network(blocks);
            assert_eq!(load(&save(&network).unwrap()).unwrap(), network);
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let mut good = network(&[Block::Relu]);
        let bytes = save(&good).unwrap();
        for cut in [0, 7, 8, 40, bytes.len() - 1] {
            assert!(matches!(load(&bytes[..cut]), Err(Error::Format(_))), "{cut}");
        }
        for (old, new) in
            [("relu", "tanh"), ("F64", "F32"), ("6,6", "6x6"), ("Attention.2", "Attention.9"), ("2,1", "9,9")]
        {
            let text: Vec<u8> = replace(&bytes, old.as_bytes(), new.as_bytes());
            assert!(load(&text).is_err(), "{old} -> {new}");
        }
        good.parameters[0] = f64::NAN;
        assert!(load(&save(&good).unwrap()).unwrap_err().to_string().contains("NaN"));
    }

    fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
        let at = bytes.windows(old.len()).position(|w| w == old).unwrap();
        [&bytes[..at], new, &bytes[at + old.len()..]].concat()
    }
}
