//! Who holds a TCP port: /proc/net/tcp for the socket's inode, ``/proc/<pid>/fd`` for its owner (proc(5)).

use std::fs;

/// `mosquitto (pid 412)`, as far as this process may look; `None` when nobody is found.
pub fn of_tcp_port(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| listening(line, port))
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let holds = |link: fs::DirEntry| {
            fs::read_link(link.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        };
        if !open.any(holds) {
            return None;
        }
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(format!("{} (pid {pid}) has it", name.trim()))
    })
}

/// The inode of a line of the table, if it listens on the port.
fn listening(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut columns = line.split_whitespace();
    let local = columns.nth(1)?;
    let (_, local_port) = local.rsplit_once(':')?;
    let state = columns.nth(1)?;
    if u16::from_str_radix(local_port, 16).ok()? != port || state != LISTEN {
        return None;
    }
    columns.nth(5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_gives_the_inode_of_its_listener() {
        let line = "   0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 31337 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening(line, 1883), Some(31337));
        assert_eq!(listening(line, 1884), None);
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(listening(&connected, 1883), None);
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let holder = of_tcp_port(port).expect("ourselves");
        assert!(holder.contains(&format!("(pid {})", std::process::id())), "{holder}");
    }
}
