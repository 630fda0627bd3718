//! One command and its answer over a remote shell: the answer ends with a mark that the command asks the
//! shell to print, with the exit status behind it.

use super::{MOST_BYTES, Malformed, line};

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Standard output and error.
    pub text: String,
    /// Exit status.
    pub status: i32,
}

/// A command line that ends with the mark of `number`; `input` is given to it as a here-document.
pub fn request(command: &str, input: Option<&str>, number: u64) -> Vec<u8> {
    match input {
        None => format!("{command} 2>&1; echo genie-{number} $?\n").into_bytes(),
        Some(input) => {
            let input = input.trim_end();
            format!("{command} 2>&1 <<'GENIE-END'; echo genie-{number} $?\n{input}\nGENIE-END\n").into_bytes()
        }
    }
}

/// The answer to request `number` and how many bytes it took; `None`: not all of it is there.
pub fn answer(bytes: &[u8], number: u64) -> Result<Option<(Answer, usize)>, Malformed> {
    let mark = format!("genie-{number} ");
    let (mut at, mut text) = (0, String::new());
    while let Some((found, length)) = line(&bytes[at..]) {
        at += length;
        let found = String::from_utf8_lossy(found);
        if let Some(status) = found.strip_prefix(&mark) {
            let status = status.trim().parse();
            let status = status.map_err(|_| Malformed(format!("`{found}` has no exit status")))?;
            return Ok(Some((Answer { text, status }, at)));
        }
        text.push_str(&found);
        text.push('\n');
    }
    if bytes.len() > MOST_BYTES {
        return Err(Malformed("an answer of the shell that does not end".into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_own_mark() {
        let bytes = b"motd\nbroken genie-1 0\ngenie-2 0\nx\ngenie-3 1\nnext";
        let (found, length) = answer(bytes, 3).unwrap().unwrap();
        assert_eq!(found.status, 1);
        assert_eq!(&bytes[length..], b"next");
        assert!(found.text.ends_with("x\n"));
        assert_eq!(answer(&bytes[..20], 3).unwrap(), None);
        assert!(answer(b"genie-3 what\n", 3).is_err());
    }
}
