//! The request that opens a WebSocket (RFC 6455 §4.2), judged. Pure.
//!
//! ```text
//!   GET /mqtt HTTP/1.1 .. ─> whole? ─> well formed? ─> path? ─> an upgrade? ─> origin? ─> mqtt? ─> 101
//!                              more        400          404        426           403       400
//! ```
//! The origin is what a browser says of the page that connects (RFC 6454 §7); programs say none, and
//! are asked for none. Whoever passes is nobody yet: MQTT's CONNECT says who it is.

use super::config::Web;

/// A request may have at most this much, bytes.
pub(super) const LONGEST: usize = 8 << 10;
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not whole yet.
    More,
    /// It is a WebSocket after this answer.
    Switch(String),
    /// It ends after this answer.
    Refuse(String),
}

/// Why there is no WebSocket: the status line's words, and one line for a person.
struct Refusal(&'static str, &'static str);

const BAD: &str = "400 Bad Request";

/// Judges what has come so far; asked again with more, it is asked with all.
pub(super) fn judge(bytes: &[u8], web: &Web) -> Verdict {
    let start = &bytes[..bytes.len().min(4)];
    if !b"GET ".starts_with(start) {
        return refuse(&Refusal(BAD, "this is a WebSocket for MQTT: only GET is known"));
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() >= LONGEST {
            return refuse(&Refusal(BAD, "the request is longer than 8 KiB"));
        }
        return Verdict::More;
    };
    if end + 4 < bytes.len() {
        return refuse(&Refusal(BAD, "nothing may follow a request before its answer"));
    }
    match Request::parse(&bytes[..end]).and_then(|request| request.accept(web)) {
        Ok(key) => Verdict::Switch(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            answer_to(key)
        )),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(Refusal(status, line): &Refusal) -> Verdict {
    let upgrade = match status.starts_with("426") {
        true => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        false => "",
    };
    let length = line.len() + 1;
    Verdict::Refuse(format!(
        "HTTP/1.1 {status}\r\n{upgrade}Content-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{line}\n"
    ))
}

/// What of a request matters here. Each may be there once, but for the lists.
#[derive(Default)]
struct Request<'a> {
    path: &'a str,
    host: Option<&'a str>,
    origin: Option<&'a str>,
    key: Option<&'a str>,
    version: Option<&'a str>,
    upgrade: bool,
    connection: bool,
    mqtt: bool,
}

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> Result<Request<'a>, Refusal> {
        let bad = |line| Refusal(BAD, line);
        let head = std::str::from_utf8(head).map_err(|_| bad("the request is not text"))?;
        if head
            .bytes()
            .any(|byte| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t'))
        {
            return Err(bad("the request has a control character"));
        }
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some("GET"), Some(target), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("the first line is not: GET path HTTP/1.1"));
        };
        let path = target.split('?').next().unwrap_or_default();
        let mut request = Request { path, ..Request::default() };
        for line in lines {
            let field = line.split_once(':').filter(|(name, _)| is_token(name));
            let Some((name, value)) = field else { return Err(bad("a header is not name: value")) };
            request.note(name, value.trim_matches([' ', '\t'])).map_err(bad)?;
        }
        Ok(request)
    }

    fn note(&mut self, name: &str, value: &'a str) -> Result<(), &'static str> {
        let once = |place: &mut Option<&'a str>| match place.replace(value) {
            Some(_) => Err("a header is there twice"),
            None => Ok(()),
        };
        let lists =
            |word: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
        if name.eq_ignore_ascii_case("host") {
            return once(&mut self.host);
        }
        if name.eq_ignore_ascii_case("origin") {
            return once(&mut self.origin);
        }
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            return once(&mut self.key);
        }
        if name.eq_ignore_ascii_case("sec-websocket-version") {
            return once(&mut self.version);
        }
        if name.eq_ignore_ascii_case("upgrade") {
            self.upgrade |= lists("websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            self.connection |= lists("upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            self.mqtt |= value.split(',').any(|item| item.trim() == "mqtt");
        }
        Ok(())
    }

    /// The key to answer, when nothing speaks against it.
    fn accept(&self, web: &Web) -> Result<&'a str, Refusal> {
        let Some(host) = self.host else { return Err(Refusal(BAD, "the header Host is missing")) };
        if self.path != web.path {
            return Err(Refusal("404 Not Found", "there is no WebSocket at this path"));
        }
        let upgrade = "426 Upgrade Required";
        if !(self.upgrade && self.connection) {
            return Err(Refusal(upgrade, "this is a WebSocket for MQTT"));
        }
        if self.version != Some("13") {
            return Err(Refusal(upgrade, "the version of the WebSocket must be 13"));
        }
        if self.origin.is_some_and(|origin| !allowed(origin, host, web)) {
            return Err(Refusal("403 Forbidden", "pages from there may not connect"));
        }
        if !self.mqtt {
            return Err(Refusal(BAD, "the subprotocol mqtt must be among those offered"));
        }
        let is_key = |key: &&str| {
            let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            let digits = key.strip_suffix("==").unwrap_or_default();
            digits.len() == 22 && digits.bytes().all(digit) // 16 bytes in base64
        };
        self.key.filter(is_key).ok_or(Refusal(BAD, "Sec-WebSocket-Key is no key"))
    }
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

fn allowed(origin: &str, host: &str, web: &Web) -> bool {
    match &web.origins {
        Some(origins) => {
            origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
        }
        None => origin.split_once("://").is_some_and(|(_, authority)| {
            !authority.is_empty()
                && without_port(authority).eq_ignore_ascii_case(without_port(host))
        }),
    }
}

/// The host of `host:port`, `[::1]:port`.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// RFC 6455 §4.2.2: what proves that the key was read.
fn answer_to(key: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    base64(hash.finish().as_ref())
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0usize, |sum, at| {
            sum << 8 | usize::from(three.get(at).copied().unwrap_or_default())
        });
        for at in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * at) & 63];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn web(origins: Option<&[&str]>) -> Web {
        let origins = origins.map(|all| all.iter().map(ToString::to_string).collect());
        Web { path: "/mqtt".into(), origins }
    }

    /// RFC 6455 §1.2's request, for MQTT.
    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: gw.example:9001\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

    /// 101, or why not.
    fn status(request: &str, web: &Web) -> u16 {
        match judge(request.as_bytes(), web) {
            Verdict::More => 0,
            Verdict::Switch(answer) | Verdict::Refuse(answer) => answer[9..12].parse().unwrap(),
        }
    }

    fn with(line: &str) -> String {
        GOOD.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
    }

    #[test]
    fn the_standards_own_request_gets_the_standards_own_answer() {
        let Verdict::Switch(answer) = judge(GOOD.as_bytes(), &web(None)) else { panic!() };
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"), "{answer}");
        for end in 0..GOOD.len() {
            assert_eq!(judge(&GOOD.as_bytes()[..end], &web(None)), Verdict::More);
        }
    }

    #[test]
    fn each_refusal_says_its_status() {
        let without = |name: &str| {
            let lines = GOOD.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
            lines.collect::<String>()
        };
        for (request, expected) in [
            ("POST /mqtt HTTP/1.1\r\n".to_owned(), 400),
            ("\u{16}\u{3}\u{1}".to_owned(), 400),
            (GOOD.replace("HTTP/1.1", "HTTP/1.0"), 400),
            (GOOD.replace("GET /mqtt ", "GET /mqtt  "), 400),
            (GOOD.replace("/mqtt ", "/ "), 404),
            (GOOD.replace("/mqtt ", "/mqtt?token=1 "), 101),
            (without("Upgrade"), 426),
            (without("Connection"), 426),
            (without("Sec-WebSocket-Version"), 426),
            (GOOD.replace(": 13", ": 8"), 426),
            (without("Sec-WebSocket-Protocol"), 400),
            (GOOD.replace("mqtt\r\n", "mqttv3.1\r\n"), 400),
            (without("Sec-WebSocket-Key"), 400),
            (GOOD.replace("ZQ==", "=="), 400),
            (without("Host"), 400),
            (with("Host: other"), 400),
            (with(" folded"), 400),
            (with("na me: x"), 400),
            (with("X: a\u{0}b"), 400),
            (format!("{GOOD}early"), 400),
            (format!("GET /mqtt HTTP/1.1\r\nX: {}", "x".repeat(LONGEST)), 400),
        ] {
            assert_eq!(status(&request, &web(None)), expected, "{request}");
        }
    }

    #[test]
    fn a_page_connects_to_its_own_host_or_from_where_the_file_says() {
        let panel = web(Some(&["https://panel.example"]));
        for (origin, own, named, any) in [
            ("http://gw.example", 101, 403, 101),
            ("https://GW.example:8443", 101, 403, 101),
            ("https://panel.example", 403, 101, 101),
            ("https://panel.example:8443", 403, 403, 101),
            ("http://evil.example", 403, 403, 101),
            ("http://gw.example.evil.example", 403, 403, 101),
            ("http://evil.example/gw.example", 403, 403, 101),
            ("null", 403, 403, 101),
            ("", 403, 403, 101),
        ] {
            let request = with(&format!("Origin: {origin}"));
            assert_eq!(status(&request, &web(None)), own, "{origin}");
            assert_eq!(status(&request, &panel), named, "{origin}");
            assert_eq!(status(&request, &web(Some(&["*"]))), any, "{origin}");
        }
        assert_eq!(status(GOOD, &panel), 101, "a program says no origin");
        let twice = with("Origin: http://gw.example\r\nOrigin: http://evil.example");
        assert_eq!(status(&twice, &web(None)), 400);
        let six = GOOD.replace("gw.example:9001", "[::1]:9001");
        let six = six.replace("\r\n\r\n", "\r\nOrigin: http://[::1]:8080\r\n\r\n");
        assert_eq!(status(&six, &web(None)), 101);
    }

    proptest! {
        #[test]
        fn whatever_comes_gets_one_answer_with_nothing_of_it_inside(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let request = [b"GET /mqtt HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat();
            match judge(&request, &web(None)) {
                Verdict::Refuse(answer) => {
                    prop_assert_eq!(answer.matches("HTTP/1.1").count(), 1);
                    prop_assert!(answer.is_ascii() && answer.len() < 300);
                }
                Verdict::More | Verdict::Switch(_) => prop_assert!(false),
            }
        }
    }
}
