//! `derive(Row)`: table, key and indexes of a read model's row.

use crate::{attributes, home, mirror, names};
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parse;
use syn::{Data, DeriveInput, Field, LitStr};

const USAGE: &str = "`#[row(\"orders\")]`";

/// The impl for one struct.
pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    attributes::no_generics(input, "A row")?;
    let Data::Struct(data) = &input.data else {
        let sentence = "A row is a struct with named fields: turn this type into one.";
        return Err(syn::Error::new(input.ident.span(), sentence));
    };
    let table = table(input)?;
    let fields = attributes::named_fields(input, &data.fields, "A row")?;
    attributes::container_serde(&input.attrs)?;
    let key = key(input, &fields)?;
    let indexed: Vec<&Field> = fields.iter().copied().filter(|field| marked(field, "index")).collect();
    let index_names = indexed.iter().map(|field| attributes::wire_name(field)).collect::<syn::Result<Vec<String>>>()?;
    let index_fields = indexed.iter().map(|field| &field.ident);

    let private = home::private()?;
    let mirror = mirror::items(&private, input, &fields, false);
    let (ident, key_field, key_type) = (&input.ident, &key.ident, &key.ty);
    Ok(quote! {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, clippy::nursery, dead_code, deprecated, unused_qualifications)]
        const _: () = {
            use #private::core::row as __row;

            #mirror

            #[automatically_derived]
            impl __row::Row for #ident {
                const TABLE: &'static str = #table;
                const INDEXES: &'static [&'static str] = &[#(#index_names),*];
                type Key = #key_type;

                fn key(&self) -> ::std::string::String {
                    ::std::string::ToString::to_string(&self.#key_field)
                }

                fn indexed(&self) -> ::std::vec::Vec<__row::IndexValue> {
                    ::std::vec![#(__row::IndexValue::of(&self.#index_fields)),*]
                }
            }
        };
    })
}

fn table(input: &DeriveInput) -> syn::Result<LitStr> {
    let Some(attribute) = attributes::single(&input.attrs, "row")? else {
        let sentence = format!("A row needs a table: write {USAGE} above the struct.");
        return Err(syn::Error::new(input.ident.span(), sentence));
    };
    let table =
        attributes::list(attribute, <LitStr as Parse>::parse, &format!("This is not understood: write {USAGE}."))?;
    let name = table.value();
    if !names::is_snake(&name) {
        let sentence = format!("`{name}` is not a table: write it in lower snake case, such as `customer_totals`.");
        return Err(syn::Error::new(table.span(), sentence));
    }
    Ok(table)
}

fn key<'a>(input: &DeriveInput, fields: &[&'a Field]) -> syn::Result<&'a Field> {
    let mut keys = fields.iter().copied().filter(|field| marked(field, "key"));
    let Some(key) = keys.next() else {
        let sentence = "A row needs a key: put `#[key]` on the field that identifies it.";
        return Err(syn::Error::new(input.ident.span(), sentence));
    };
    match keys.next() {
        Some(second) => {
            let sentence = "A row has one key: keep `#[key]` on one field, and put `#[index]` on the other.";
            Err(syn::Error::new_spanned(&second.ident, sentence))
        }
        None => Ok(key),
    }
}

fn marked(field: &Field, name: &str) -> bool {
    field.attrs.iter().any(|attribute| attribute.path().is_ident(name))
}
