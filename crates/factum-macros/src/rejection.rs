//! `derive(Rejection)`: code, kind and sentence of each variant.

use crate::{attributes, home, names};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Data, DeriveInput, Fields, Ident, LitStr, Token, Variant, ext::IdentExt, spanned::Spanned};

const USAGE: &str = "write `#[rejection(\"code\", \"a sentence with {field}\")]`, with `invalid` or `missing` as a \
                     third word if it is not a conflict of states.";

/// The impl for one enum.
pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    attributes::no_generics(input, "A rejection")?;
    let Data::Enum(data) = &input.data else {
        let sentence = "A rejection is an enum with a variant for each reason: turn this type into one.";
        return Err(syn::Error::new(input.ident.span(), sentence));
    };
    if data.variants.is_empty() {
        let sentence =
            "This enum has no reason to reject: give it a variant, or use `Never` where nothing is rejected.";
        return Err(syn::Error::new(input.ident.span(), sentence));
    }
    let arms = data.variants.iter().map(arm).collect::<syn::Result<Vec<Arm>>>()?;
    let private = home::private()?;
    let ident = &input.ident;
    let names: Vec<&Ident> = arms.iter().map(|arm| arm.variant).collect();
    let codes = arms.iter().map(|arm| &arm.code);
    let kinds = arms.iter().map(|arm| &arm.kind);
    let patterns = arms.iter().map(|arm| &arm.pattern);
    let sentences = arms.iter().map(|arm| &arm.sentence);
    Ok(quote! {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, clippy::nursery, deprecated, unused_qualifications)]
        const _: () = {
            use #private::core::rejection as __rejection;

            #[automatically_derived]
            impl __rejection::Rejection for #ident {
                fn code(&self) -> &'static str {
                    match self {
                        #(Self::#names { .. } => #codes,)*
                    }
                }

                fn kind(&self) -> __rejection::RejectionKind {
                    match self {
                        #(Self::#names { .. } => __rejection::RejectionKind::#kinds,)*
                    }
                }

                #[allow(unused_variables)]
                fn message(&self) -> ::std::string::String {
                    match self {
                        #(Self::#patterns => ::std::format!(#sentences),)*
                    }
                }
            }
        };
    })
}

struct Arm<'a> {
    variant: &'a Ident,
    code: LitStr,
    kind: Ident,
    /// Binds the fields, the unnamed ones as `field_0`, `field_1`.
    pattern: TokenStream,
    /// A format string over those bindings.
    sentence: LitStr,
}

/// What `#[rejection(…)]` says.
struct Declared {
    code: LitStr,
    sentence: LitStr,
    kind: Ident,
}

impl Parse for Declared {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let code: LitStr = input.parse()?;
        input.parse::<Token![,]>()?;
        let sentence: LitStr = input.parse()?;
        let mut kind = format_ident!("Conflict", span = sentence.span());
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let word: Ident = input.parse()?;
            let name = match word.to_string().as_str() {
                "conflict" => "Conflict",
                "invalid" => "Invalid",
                "missing" => "Missing",
                _ => return Err(syn::Error::new(word.span(), "unknown kind")),
            };
            kind = Ident::new(name, word.span());
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Self { code, sentence, kind })
    }
}

fn arm(variant: &Variant) -> syn::Result<Arm<'_>> {
    let Some(attribute) = attributes::single(&variant.attrs, "rejection")? else {
        return Err(syn::Error::new(variant.ident.span(), format!("This reason has no code and no sentence: {USAGE}")));
    };
    let declared = attributes::list(attribute, Declared::parse, &format!("This is not understood: {USAGE}"))?;
    let code = declared.code.value();
    if !names::is_snake(&code) {
        let sentence = format!("`{code}` is not a code: write it in lower snake case, such as `too_late`.");
        return Err(syn::Error::new(declared.code.span(), sentence));
    }
    let fields = fields(&variant.fields);
    let sentence = bind(&declared.sentence, &fields)?;
    let name = &variant.ident;
    let bindings = fields.iter().map(|field| {
        let (member, binding) = (&field.member, &field.binding);
        quote!(#member: #binding)
    });
    Ok(Arm {
        variant: name,
        code: declared.code,
        kind: declared.kind,
        pattern: quote!(#name { #(#bindings),* }),
        sentence,
    })
}

struct Bound {
    member: syn::Member,
    /// As the sentence calls it: the field's name, or its number.
    shown: String,
    binding: Ident,
}

fn fields(fields: &Fields) -> Vec<Bound> {
    let bound = |(member, field): (syn::Member, &syn::Field)| {
        let (shown, binding) = match &member {
            // Without `r#`, as a format string writes it.
            syn::Member::Named(name) => (name.unraw().to_string(), format_ident!("field_{}", name.unraw())),
            syn::Member::Unnamed(index) => (index.index.to_string(), format_ident!("field_{}", index.index)),
        };
        Bound { member, shown, binding: Ident::new(&binding.to_string(), field.span()) }
    };
    fields.members().zip(fields).map(bound).collect()
}

/// The sentence with every `{field}` turned into its binding.
fn bind(sentence: &LitStr, fields: &[Bound]) -> syn::Result<LitStr> {
    let text = sentence.value();
    let mut bound = String::with_capacity(text.len() + 16);
    let mut rest = text.as_str();
    while let Some(at) = rest.find('{') {
        bound.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            bound.push('{');
            rest = after;
            continue;
        }
        let end = rest.find([':', '}']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let Some(field) = fields.iter().find(|field| field.shown == name) else {
            return Err(syn::Error::new(sentence.span(), unknown(name, fields)));
        };
        bound.push_str(&field.binding.to_string());
        rest = &rest[end..];
    }
    bound.push_str(rest);
    Ok(LitStr::new(&bound, sentence.span()))
}

fn unknown(name: &str, fields: &[Bound]) -> String {
    let known: Vec<String> = fields.iter().map(|field| format!("`{{{}}}`", field.shown)).collect();
    match known.as_slice() {
        [] => {
            format!("`{{{name}}}` is not a field, because this variant has none: add the field, or double the brace.")
        }
        known => format!("`{{{name}}}` is not a field of this variant: write {}.", known.join(" or ")),
    }
}
