//! An HTML tree. Its output is well-formed, also as XML.
//!
//! Run-time text is always escaped; only string literals can be added without escaping.

use std::fmt::{self, Display, Write as _};

use crate::domain::language::Language;

/// Elements that are self-closing (`<name/>`) when they have no children.
const SELF_CLOSING: [&str; 6] = ["meta", "circle", "line", "path", "rect", "use"];

/// An element with its attributes and children.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
    Trusted(&'static str),
}

/// An empty element.
pub(super) fn element(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), children: Vec::new() }
}

/// An element with a class.
pub(super) fn classed(name: &'static str, class: &str) -> Element {
    element(name).set("class", class)
}

/// An element that contains a text.
pub(super) fn text(name: &'static str, text: impl Display) -> Element {
    element(name).text(text)
}

/// A Korean name as `<bdi lang="ko">`: marked as Korean, and isolated from the text direction around it.
pub(super) fn korean(name: &str) -> Element {
    text("bdi", name).set("lang", "ko")
}

impl Element {
    /// Sets an attribute.
    pub(super) fn set(mut self, attribute: &'static str, value: impl Display) -> Self {
        self.attributes.push((attribute, value.to_string()));
        self
    }

    /// Adds a text.
    pub(super) fn text(mut self, text: impl Display) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// Adds an element.
    pub(super) fn add(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds elements.
    pub(super) fn add_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// The same in another language. A sentence may go around other elements, which keep their place in it. An element that
    /// says in which language its text is, such as a name, stays as it is.
    pub(super) fn in_language(mut self, language: Language) -> Self {
        let is_name = self.children.iter().all(|child| matches!(child, Node::Text(_)))
            && self.attributes.iter().any(|(attribute, _)| *attribute == "lang");
        if language == Language::English || is_name {
            return self;
        }
        for (_, value) in self.attributes.iter_mut().filter(|(attribute, _)| *attribute == "aria-label") {
            *value = language.say(value);
        }
        let (mut sentence, mut others) = (String::new(), Vec::new());
        for child in self.children {
            match child {
                // A text from outside could hold such a character, too.
                Node::Text(text) => sentence.extend(text.chars().map(|c| if is_place(c) { '\u{fffd}' } else { c })),
                Node::Element(element) => others.push(Node::Element(element.in_language(language))),
                trusted @ Node::Trusted(_) => others.push(trusted),
            }
            if sentence.chars().filter(|c| is_place(*c)).count() < others.len() {
                sentence.push(place(others.len() - 1));
            }
        }
        self.children = around(&language.say(&sentence), others);
        self
    }

    /// Adds text without escaping it, such as a style sheet.
    pub(super) fn trusted(mut self, text: &'static str) -> Self {
        self.children.push(Node::Trusted(text));
        self
    }
}

/// Stands for the other element of this number in a sentence: a character for private use.
fn place(number: usize) -> char {
    u32::try_from(number).ok().and_then(|number| char::from_u32(PLACES.0 as u32 + number)).unwrap_or(PLACES.1)
}

/// The first and the last place.
const PLACES: (char, char) = ('\u{f0000}', '\u{ffffd}');

fn is_place(c: char) -> bool {
    (PLACES.0..=PLACES.1).contains(&c)
}

/// A sentence with the other elements in their places.
fn around(sentence: &str, others: Vec<Node>) -> Vec<Node> {
    let mut children = Vec::new();
    let mut others: Vec<Option<Node>> = others.into_iter().map(Some).collect();
    let mut words = String::new();
    for c in sentence.chars() {
        if !is_place(c) {
            words.push(c);
            continue;
        }
        if !words.is_empty() {
            children.push(Node::Text(std::mem::take(&mut words)));
        }
        let number = usize::try_from(c as u32 - PLACES.0 as u32).unwrap_or(usize::MAX);
        children.extend(others.get_mut(number).and_then(Option::take));
    }
    if !words.is_empty() {
        children.push(Node::Text(words));
    }
    children
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (attribute, value) in &self.attributes {
            write!(f, " {attribute}=\"{}\"", Escaped(value))?;
        }
        if self.children.is_empty() && SELF_CLOSING.contains(&self.name) {
            return f.write_str("/>");
        }
        f.write_char('>')?;
        for child in &self.children {
            match child {
                Node::Element(element) => element.fmt(f)?,
                Node::Text(text) => Escaped(text).fmt(f)?,
                Node::Trusted(text) => f.write_str(text)?,
            }
        }
        write!(f, "</{}>", self.name)
    }
}

/// A text, escaped for use between tags and in attribute values.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' => f.write_char(c)?,
                // HTML or XML forbids these characters, even as character references.
                '\u{0}'..' ' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A section with its title and a description.
pub(super) fn section(title: &str, about: &str) -> Element {
    element("section").add(text("h2", title)).add(classed("p", "about").text(about))
}

#[cfg(test)]
mod tests {
    use super::{classed, element, text};

    #[test]
    fn markup_in_texts_and_attributes_is_escaped() {
        let odd = "</td><script>alert(\"1\")</script>&amp;'\u{0}\u{1b}☕";

        let html = element("p").set("title", odd).text(odd).to_string();

        let escaped = "&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;\u{fffd}\u{fffd}☕";
        assert_eq!(html, format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn an_empty_element_has_an_end_tag_unless_it_is_self_closing() {
        let html =
            classed("div", "a").add(element("td")).add(element("rect").set("x", 1)).add(text("b", 2)).to_string();

        assert_eq!(html, r#"<div class="a"><td></td><rect x="1"/><b>2</b></div>"#);
    }
}
