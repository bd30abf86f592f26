//! An error as `main` returns it: told in sentences instead of by its fields.

use std::{
    error::Error,
    fmt::{self, Debug, Formatter},
};

/// What `main` may return. The process then ends with exit code 1, and says what is wrong and, behind a colon each, why:
///
/// ```text
/// Error: cannot open the settings: No such file or directory (os error 2)
/// ```
///
/// Every error becomes one with `?`.
pub struct Report(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for Report {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// This is what the runtime prints of what `main` returns.
impl Debug for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Many an error has told its cause already.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            (said, next) = (text, cause.source());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Opening {
        #[error("cannot open the settings")]
        Settings(#[source] io::Error),
        #[error("cannot open the data: {0}")]
        Data(#[source] io::Error),
        #[error(transparent)]
        Other(#[from] io::Error),
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_each_only_once() {
        let cause = || io::Error::other("the disk is away");
        let told = |error: Opening| format!("{:?}", Report::from(error));
        assert_eq!(told(Opening::Settings(cause())), "cannot open the settings: the disk is away");
        assert_eq!(told(Opening::Data(cause())), "cannot open the data: the disk is away");
        assert_eq!(told(cause().into()), "the disk is away");
    }
}
