//! From what is typed after `cmd <subsystem>/<verb>` to the command's arguments.
//!
//! | typed | becomes |
//! |---|---|
//! | nothing | `{}` |
//! | `thermo` | the verb's subject |
//! | `grace=5s force=true n=3` | `{"grace":"5s","force":true,"n":3}` |
//! | `thermo grace=5s` | the subject, and the pairs |
//! | `'{"job":"thermo"}'` | itself |
//!
//! A value is a number, `true` or `false` when it reads like one in JSON, JSON when it starts with
//! `{`, `[` or `"`, else text: `'id="7"'` is the text 7.

use serde_json::{Map, Value};

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arguments {
    /// The bare word: the verb's subject.
    pub(super) subject: Option<Value>,
    /// Everything with a key.
    pub(super) keyed: Map<String, Value>,
}

impl Arguments {
    /// Reads the words.
    ///
    /// # Errors
    /// A sentence that names the word.
    pub(super) fn parse(words: &[String]) -> Result<Arguments, String> {
        if let [only] = words
            && only.trim_start().starts_with('{')
        {
            let keyed = serde_json::from_str(only)
                .map_err(|e| format!("the arguments are not a JSON object: {e}"))?;
            return Ok(Arguments { subject: None, keyed });
        }
        let mut arguments = Arguments::default();
        for (at, word) in words.iter().enumerate() {
            match word.split_once('=') {
                Some((key, text)) if is_key(key) => {
                    if arguments.keyed.insert(key.to_owned(), value(text)?).is_some() {
                        return Err(format!("'{key}' is given twice"));
                    }
                }
                Some(_) | None if at == 0 => arguments.subject = Some(value(word)?),
                Some(_) | None => {
                    return Err(format!(
                        "'{word}' is not key=value: after the first, every argument has a key"
                    ));
                }
            }
        }
        Ok(arguments)
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn value(text: &str) -> Result<Value, String> {
    match text.as_bytes().first() {
        Some(b'{' | b'[' | b'"') => {
            serde_json::from_str(text).map_err(|e| format!("'{text}' is not JSON: {e}"))
        }
        Some(b'-' | b'0'..=b'9') => {
            Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
        }
        _ if text == "true" => Ok(Value::Bool(true)),
        _ if text == "false" => Ok(Value::Bool(false)),
        _ => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }
    fn keyed(words: &[&str]) -> Value {
        Value::Object(parse(words).unwrap().keyed)
    }

    #[test]
    fn nothing_typed_is_no_arguments() {
        assert_eq!(parse(&[]), Ok(Arguments::default()));
    }

    #[test]
    fn a_bare_word_is_the_subject_and_pairs_may_follow() {
        assert_eq!(parse(&["thermo"]).unwrap().subject, Some(json!("thermo")));
        assert_eq!(parse(&["7"]).unwrap().subject, Some(json!(7)));
        let both = parse(&["eth0.100", "mtu=1400"]).unwrap();
        assert_eq!(
            (both.subject, Value::Object(both.keyed)),
            (Some(json!("eth0.100")), json!({"mtu": 1400}))
        );
        assert_eq!(parse(&["../a=b"]).unwrap().subject, Some(json!("../a=b")));
    }

    #[test]
    fn values_are_typed_by_how_they_read() {
        assert_eq!(
            keyed(&["a=1", "b=-2.5", "c=true", "d=false", "e=word", "f=", "g=a=b"]),
            json!({"a":1, "b":-2.5, "c":true, "d":false, "e":"word", "f":"", "g":"a=b"})
        );
        assert_eq!(
            keyed(&["a=90s", "b=10.0.0.1", "c=007", "d=null", "e=1e3"]),
            json!({"a":"90s", "b":"10.0.0.1", "c":"007", "d":"null", "e":1e3})
        );
        assert_eq!(
            keyed(&[r#"a={"b":[1]}"#, "c=[1,2]", r#"d="7""#]),
            json!({"a":{"b":[1]}, "c":[1,2], "d":"7"})
        );
    }

    #[test]
    fn one_json_object_is_the_arguments_themselves() {
        assert_eq!(keyed(&[r#" {"job":"thermo","n":1}"#]), json!({"job":"thermo","n":1}));
    }

    #[test]
    fn what_cannot_be_read_names_its_word() {
        for (words, told) in [
            (&["a=1", "a=2"][..], "'a' is given twice"),
            (
                &["thermo", "other"],
                "'other' is not key=value: after the first, every argument has a key",
            ),
            (&["a={"], "'{' is not JSON: EOF while parsing an object at line 1 column 1"),
            (
                &["{nope}"],
                "the arguments are not a JSON object: key must be a string at line 1 column 2",
            ),
        ] {
            assert_eq!(parse(words), Err(told.into()));
        }
    }
}
