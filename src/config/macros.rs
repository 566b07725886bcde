//! `{{VAR}}` stands for text wherever it is written, also bare, where YAML would see a map in a map.

/// Stand-ins for the braces of `{{VAR}}`: characters that the file does not have, one for one, so that
/// every place stays where it was.
pub(super) struct Macros {
    open: char,
    close: char,
}

impl Macros {
    pub(super) fn of(text: &str) -> Macros {
        let mut private = ('\u{e000}'..='\u{f8ff}').filter(|c| !text.contains(*c));
        let open = private.next().unwrap_or('\u{e000}');
        Macros { open, close: private.next().unwrap_or('\u{e001}') }
    }

    pub(super) fn hide(&self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let (before, from) = rest.split_at(at);
            hidden.push_str(before);
            match macro_length(from) {
                Some(length) => {
                    hidden.extend([self.open, self.open]);
                    hidden.push_str(&from[2..length - 2]);
                    hidden.extend([self.close, self.close]);
                    rest = &from[length..];
                }
                None => {
                    hidden.push('{');
                    rest = &from[1..];
                }
            }
        }
        hidden.push_str(rest);
        hidden
    }

    pub(super) fn show(&self, text: &str) -> String {
        text.replace(self.open, "{").replace(self.close, "}")
    }
}

/// The bytes of the `{{VAR}}` at the beginning, if there is one: names, dots and mustache's sigils.
fn macro_length(text: &str) -> Option<usize> {
    let name = &text[2..text.find("}}")?];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.- #/^!>&".contains(c);
    (!name.is_empty() && name.len() <= 128 && name.chars().all(plain)).then(|| name.len() + 4)
}
