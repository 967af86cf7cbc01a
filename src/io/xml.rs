//! The small XML records of lattice files as a flat list of leaf elements; bounded, without document types or entities.

use super::fault::fault;
use crate::error::{Error, Result};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

const LARGEST: usize = 1 << 16;
const DEEPEST: usize = 16;
const MOST_ELEMENTS: usize = 4096;

/// Leaf elements (local name, text) in the order of an XML record that begins at `offset` of the file.
pub(crate) fn leaves(record: &str, offset: u64, bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let refuse =
        |message: String| fault("LIME", record, offset, message, "the record is damaged or not what it claims to be");
    if bytes.len() > LARGEST {
        return Err(refuse(format!("{} bytes of XML, allowed are {LARGEST}", bytes.len())));
    }
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    let text = std::str::from_utf8(&bytes[..end]).map_err(|e| refuse(format!("not UTF-8: {e}")))?;
    parse(text, refuse)
}

fn parse(text: &str, refuse: impl Fn(String) -> Error) -> Result<Vec<(String, String)>> {
    let mut reader = Reader::from_str(text);
    let (mut found, mut open, mut depth) = (Vec::new(), None::<(String, String)>, 0);
    loop {
        match reader.read_event().map_err(|e| refuse(format!("not well-formed XML: {e}")))? {
            Event::Start(tag) => {
                depth += 1;
                open = Some((tag.local_name().as_ref().to_string(), String::new()));
            }
            Event::Empty(tag) => found.push((tag.local_name().as_ref().to_string(), String::new())),
            Event::End(_) => {
                depth -= 1;
                found.extend(open.take());
            }
            Event::Text(piece) => append(&mut open, &piece.xml10_content()),
            Event::CData(piece) => append(&mut open, &piece.xml10_content()),
            Event::GeneralRef(name) => append(&mut open, &entity(&name, &refuse)?),
            Event::DocType(_) => return Err(refuse("document types and their entities are refused".into())),
            Event::Eof if depth == 0 => return Ok(found),
            Event::Eof => return Err(refuse("the XML ends inside an element".into())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if depth > DEEPEST || found.len() > MOST_ELEMENTS {
            return Err(refuse(format!("more than {DEEPEST} levels or {MOST_ELEMENTS} elements")));
        }
    }
}

fn append(open: &mut Option<(String, String)>, piece: &str) {
    if let Some((_, text)) = open {
        text.push_str(piece);
    }
}

fn entity(name: &quick_xml::events::BytesRef<'_>, refuse: &impl Fn(String) -> Error) -> Result<String> {
    let character = name.resolve_char_ref().map_err(|e| refuse(format!("character reference: {e}")))?;
    let known = || resolve_predefined_entity(name).map(str::to_string);
    character
        .map(String::from)
        .or_else(known)
        .ok_or_else(|| refuse(format!("entity &{};: only the five predefined ones are allowed", &**name)))
}

/// An XML document from leaf elements below one root.
pub(crate) fn document(root: &str, leaves: &[(&str, String)]) -> String {
    let body: String = leaves
        .iter()
        .map(|(name, text)| format!("<{name}>{}</{name}>", quick_xml::escape::escape(text.as_str())))
        .collect();
    let tag = root.split(' ').next().unwrap_or(root);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root}>{body}</{tag}>")
}
