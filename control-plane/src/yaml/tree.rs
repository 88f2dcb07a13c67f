//! Where each node of a document stands in its text, as bytes: what an edit needs to know. The values themselves are
//! read elsewhere, so that nothing depends on two parsers agreeing: an edit is checked by reading its result.

use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle};

/// Deeper documents are not edited in place.
const DEEPEST: usize = 100;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    pub(super) shape: Shape,
}

/// What a value is made of.
#[derive(Debug)]
pub(super) enum Shape {
    Scalar(ScalarStyle),
    Mapping {
        is_flow: bool,
        entries: Vec<Entry>,
    },
    Sequence {
        is_flow: bool,
        items: Vec<Node>,
    },
    /// The value of another node.
    Alias,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) key: Range<usize>,
    pub(super) value: Node,
}

impl Entry {
    pub(super) fn end(&self) -> usize {
        self.value.range.end.max(self.key.end)
    }
}

type Events<'a> = Box<dyn Iterator<Item = (Event<'a>, Span)> + 'a>;

/// The root of a document; `None` if this parser does not understand it.
pub(super) fn of(text: &str) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
    let mut builder = Builder { text, events: Box::new(events), floor: 0 };
    loop {
        let (event, span) = builder.events.next()?;
        if event.is_node() || event.is_alias() {
            return builder.node(event, &span, DEEPEST);
        }
    }
}

struct Builder<'a> {
    text: &'a str,
    events: Events<'a>,
    /// Where the last key or scalar ended.
    floor: usize,
}

impl Builder<'_> {
    fn next(&mut self, depth: usize) -> Option<Node> {
        let (event, span) = self.events.next()?;
        self.node(event, &span, depth)
    }

    /// `None` at the end of a collection too.
    fn node(&mut self, event: Event<'_>, span: &Span, depth: usize) -> Option<Node> {
        let depth = depth.checked_sub(1)?;
        let range = span.byte_range()?;
        match event {
            Event::Scalar(_, style, ..) => {
                let range = scalar(self.text, style, range, self.floor)?;
                self.floor = range.end;
                Some(Node { range, shape: Shape::Scalar(style) })
            }
            Event::Alias(_) => Some(Node { range, shape: Shape::Alias }),
            Event::MappingStart(style, ..) => self.mapping(style == StructureStyle::Flow, range.start, depth),
            Event::SequenceStart(style, ..) => self.sequence(style == StructureStyle::Flow, range.start, depth),
            _ => None,
        }
    }

    fn mapping(&mut self, is_flow: bool, start: usize, depth: usize) -> Option<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.events.next()?;
            let range = span.byte_range()?;
            let Event::Scalar(name, ..) = event else {
                let end = if is_flow { range.end } else { entries.last().map_or(start, Entry::end) };
                let shape = Shape::Mapping { is_flow, entries };
                return matches!(event, Event::MappingEnd).then_some(Node { range: start..end, shape });
            };
            self.floor = range.end;
            let (name, value) = (name.into_owned(), self.next(depth)?);
            entries.push(Entry { name, key: range, value });
        }
    }

    fn sequence(&mut self, is_flow: bool, start: usize, depth: usize) -> Option<Node> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.events.next()?;
            if matches!(event, Event::SequenceEnd) {
                let end = if is_flow { span.byte_range()?.end } else { items.last().map_or(start, |i| i.range.end) };
                return Some(Node { range: start..end, shape: Shape::Sequence { is_flow, items } });
            }
            items.push(self.node(event, &span, depth)?);
        }
    }
}

/// The parser gives a block scalar from its first line to whatever follows; its header, which is somewhere after
/// `floor`, belongs to it, blank lines after it do not.
fn scalar(text: &str, style: ScalarStyle, range: Range<usize>, floor: usize) -> Option<Range<usize>> {
    let sign = match style {
        ScalarStyle::Literal => '|',
        ScalarStyle::Folded => '>',
        _ => return Some(range),
    };
    let mut start = floor;
    for line in text.get(floor..)?.split_inclusive('\n') {
        // A comment may stand beside the header and before it, and hold anything.
        let header =
            line.split(" #").next().filter(|line| !line.trim_start().starts_with('#')).unwrap_or_default().trim_end();
        let bare = header.trim_end_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        if bare.ends_with(sign) {
            let least = start + header.len();
            let end = range.start.max(floor) + text.get(range.start.max(floor)..range.end.max(floor))?.trim_end().len();
            return Some(start + bare.len() - 1..end.max(least));
        }
        start += line.len();
    }
    None
}
