//! Reading attributes, and the complaints that several derives share.

use syn::parse::Parser;
use syn::{Attribute, DeriveInput, Field, Fields, LitStr, Meta, ext::IdentExt};

use crate::names;

/// The only attribute of that name, or none.
pub fn single<'a>(attributes: &'a [Attribute], name: &str) -> syn::Result<Option<&'a Attribute>> {
    let mut found = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    let first = found.next();
    match found.next() {
        Some(second) => {
            Err(syn::Error::new_spanned(second, format!("`#[{name}]` stands here twice: keep one of the two.")))
        }
        None => Ok(first),
    }
}

/// Refuses type parameters, lifetimes and where clauses: stored data has one shape under one name.
pub fn no_generics(input: &DeriveInput, noun: &str) -> syn::Result<()> {
    let sentence = format!("{noun} is stored under one name with one shape: remove the generics from the type.");
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&input.generics.params, sentence));
    }
    match &input.generics.where_clause {
        Some(clause) => Err(syn::Error::new_spanned(clause, sentence)),
        None => Ok(()),
    }
}

/// The fields of a struct that is written as a JSON object; a unit struct has none.
pub fn named_fields<'a>(input: &DeriveInput, fields: &'a Fields, noun: &str) -> syn::Result<Vec<&'a syn::Field>> {
    match fields {
        Fields::Named(named) => Ok(named.named.iter().collect()),
        Fields::Unit => Ok(Vec::new()),
        Fields::Unnamed(_) => {
            let name = &input.ident;
            let sentence = format!("{noun} is a JSON object: give the fields names, `struct {name} {{ … }}`.");
            Err(syn::Error::new_spanned(fields, sentence))
        }
    }
}

/// Refuses `#[serde(…)]` above the struct: it would change the wire shape behind the derive's back.
pub fn container_serde(attributes: &[Attribute]) -> syn::Result<()> {
    match attributes.iter().find(|attribute| attribute.path().is_ident("serde")) {
        Some(attribute) => {
            let sentence = "The derive fixes the shape (camel case, unknown fields ignored): remove this, and put \
                            `#[serde(…)]` on the fields that need it.";
            Err(syn::Error::new_spanned(attribute, sentence))
        }
        None => Ok(()),
    }
}

/// A field's name in JSON.
pub fn wire_name(field: &Field) -> syn::Result<String> {
    let name = field.ident.as_ref().map(|name| name.unraw().to_string()).unwrap_or_default();
    Ok(renamed(&field.attrs)?.unwrap_or_else(|| names::camel_case(&name)))
}

/// The name that a field's own `#[serde(rename = "…")]` gives it.
fn renamed(attributes: &[Attribute]) -> syn::Result<Option<String>> {
    let mut name = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") && meta.input.peek(syn::Token![=]) {
                name = Some(meta.value()?.parse::<LitStr>()?.value());
                return Ok(());
            }
            skip_value(&meta)
        })?;
    }
    Ok(name)
}

/// Whether the attribute is one that serde, schemars or rustdoc reads.
pub fn goes_to_the_mirror(attribute: &Attribute, schema: bool) -> bool {
    let path = attribute.path();
    path.is_ident("serde") || (schema && (path.is_ident("schemars") || path.is_ident("doc")))
}

/// `#[name(…)]`'s content; complains with `usage` about any other form.
pub fn list<T>(attribute: &Attribute, parser: impl Parser<Output = T>, usage: &str) -> syn::Result<T> {
    match &attribute.meta {
        Meta::List(_) => {
            attribute.parse_args_with(parser).map_err(|error| syn::Error::new(error.span(), usage.to_owned()))
        }
        Meta::Path(_) | Meta::NameValue(_) => Err(syn::Error::new_spanned(attribute, usage.to_owned())),
    }
}

fn skip_value(meta: &syn::meta::ParseNestedMeta) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let content;
        syn::parenthesized!(content in meta.input);
        content.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}
