//! Where generated code finds the core, serde and schemars: the hidden module `__private`.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};

/// The absolute path of `__private`, also when the user's manifest renames the dependency.
///
/// Always by crate name and never `crate::`, because a package's examples and documentation tests are crates of their
/// own and would not find it there.
pub fn private() -> syn::Result<TokenStream> {
    for package in ["factum", "factum-core"] {
        let name = match crate_name(package) {
            Ok(FoundCrate::Itself) => package.replace('-', "_"),
            Ok(FoundCrate::Name(name)) => name,
            Err(_) => continue,
        };
        let name = format_ident!("{name}");
        return Ok(quote!(::#name::__private));
    }
    let sentence = "The derives need the crate `factum`: add it to the dependencies in Cargo.toml.";
    Err(syn::Error::new(Span::call_site(), sentence))
}
