//! `derive(Event)` and `derive(Command)`: one message type on a struct, several on an enum.

use crate::{attributes, home, mirror, names, personal};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Data, DataEnum, DeriveInput, Field, Fields, Ident, LitStr, Token, Type, spanned::Spanned};

/// Which of the two derives is running.
#[derive(Clone, Copy)]
pub enum Kind {
    Event,
    Command,
}

impl Kind {
    /// The attribute, and the word for it in sentences.
    fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Command => "command",
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Self::Event => "An event",
            Self::Command => "A command",
        }
    }

    fn trait_name(self) -> Ident {
        match self {
            Self::Event => format_ident!("Event"),
            Self::Command => format_ident!("Command"),
        }
    }

    fn usage(self) -> String {
        let (word, name) = match self {
            Self::Event => ("event", "order.created"),
            Self::Command => ("command", "order.create"),
        };
        let own = match self {
            Self::Event => ", and `own` for an event that only its own service reads",
            Self::Command => ", and `own` for a command that only this program sends",
        };
        format!(
            "`#[{word}(\"{name}\")]`; behind the name may stand `version = \"1.2.0\"`, `was = \"…\"` for a name that it \
             had before, `adopted` for a name that others gave{own}"
        )
    }

    fn check(self, name: &str) -> Result<(), String> {
        match self {
            Self::Event => names::check_event(name),
            Self::Command => names::check_command(name),
        }
    }
}

/// The impls for one struct or enum.
pub fn expand(kind: Kind, input: &DeriveInput) -> syn::Result<TokenStream> {
    attributes::no_generics(input, kind.with_article())?;
    match &input.data {
        Data::Struct(data) => {
            let declared = declared(kind, input)?;
            let fields = attributes::named_fields(input, &data.fields, kind.with_article())?;
            attributes::container_serde(&input.attrs)?;
            let personal = personal::fields(&fields)?;
            Ok(one_type(kind, &home::private()?, input, &fields, &declared, &personal))
        }
        Data::Enum(data) => {
            if let Some(attribute) = attributes::single(&input.attrs, kind.word())? {
                let word = kind.word();
                let sentence = format!(
                    "An enum of {word}s has no name of its own: remove this, and put `#[{word}(…)]` on the structs \
                     that the variants hold."
                );
                return Err(syn::Error::new_spanned(attribute, sentence));
            }
            let variants = variants(kind, input, data)?;
            Ok(several_types(kind, &home::private()?, input, &variants))
        }
        Data::Union(data) => {
            let sentence =
                format!("{} is a struct with named fields, or an enum of such: not a union.", kind.with_article());
            Err(syn::Error::new(data.union_token.span, sentence))
        }
    }
}

/// What `#[event(…)]` or `#[command(…)]` says.
struct Declared {
    name: LitStr,
    version: LitStr,
    was: Vec<LitStr>,
    adopted: bool,
    own: bool,
}

impl Parse for Declared {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name: LitStr = input.parse()?;
        let version = LitStr::new("1.0.0", name.span());
        let mut declared = Self { name, version, was: Vec::new(), adopted: false, own: false };
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            if key == "adopted" {
                declared.adopted = true;
                continue;
            }
            if key == "own" {
                declared.own = true;
                continue;
            }
            input.parse::<Token![=]>()?;
            let value: LitStr = input.parse()?;
            match key.to_string().as_str() {
                "version" => declared.version = value,
                "was" => declared.was.push(value),
                _ => return Err(syn::Error::new(key.span(), "unknown option")),
            }
        }
        Ok(declared)
    }
}

fn declared(kind: Kind, input: &DeriveInput) -> syn::Result<Declared> {
    let Some(attribute) = attributes::single(&input.attrs, kind.word())? else {
        let sentence = format!("{} needs a name: above the struct, write {}.", kind.with_article(), kind.usage());
        return Err(syn::Error::new(input.ident.span(), sentence));
    };
    let declared = parse(kind, attribute)?;
    let name = declared.name.value();
    let check =
        |text: &LitStr, checked: Result<(), String>| checked.map_err(|sentence| syn::Error::new(text.span(), sentence));
    check(&declared.name, if declared.adopted { names::check_adopted(&name) } else { kind.check(&name) })?;
    check(&declared.version, names::check_version(&declared.version.value()))?;
    for (index, old) in declared.was.iter().enumerate() {
        check(old, names::check_adopted(&old.value()))?;
        if old.value() == name || declared.was[..index].iter().any(|other| other.value() == old.value()) {
            let sentence = format!("`{}` stands here twice: a name that it had before is another one.", old.value());
            return Err(syn::Error::new(old.span(), sentence));
        }
    }
    Ok(declared)
}

fn parse(kind: Kind, attribute: &Attribute) -> syn::Result<Declared> {
    attributes::list(attribute, Declared::parse, &format!("This is not understood: write {}.", kind.usage()))
}

fn one_type(
    kind: Kind,
    private: &TokenStream,
    input: &DeriveInput,
    fields: &[&Field],
    declared: &Declared,
    personal: &[personal::Personal],
) -> TokenStream {
    let Declared { name, version, was, adopted, own } = declared;
    let personal = personal
        .iter()
        .map(|personal::Personal { field, subject }| quote!(__payload::Personal { field: #field, subject: #subject }));
    let ident = &input.ident;
    let trait_name = kind.trait_name();
    let mirror = mirror::items(private, input, fields, true);
    quote! {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, clippy::nursery, dead_code, deprecated, unused_qualifications)]
        const _: () = {
            use #private::core::payload as __payload;

            #mirror

            #[automatically_derived]
            impl __payload::Payload for #ident {
                fn types() -> ::std::vec::Vec<__payload::TypeInfo> {
                    ::std::vec![__INFO]
                }

                fn type_info(&self) -> __payload::TypeInfo {
                    __INFO
                }

                fn decode(name: &str, data: &[u8]) -> ::core::result::Result<Self, __payload::PayloadError> {
                    if name != #name {
                        return ::core::result::Result::Err(__payload::PayloadError::UnknownType(
                            ::std::string::String::from(name),
                        ));
                    }
                    #private::serde_json::from_slice(data)
                        .map_err(|cause| __payload::PayloadError::decode(#name, &cause))
                }

                fn encode(
                    &self,
                    out: &mut ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), __payload::PayloadError> {
                    let start = out.len();
                    #private::serde_json::to_writer(&mut *out, self).map_err(|cause| {
                        // Half an object must not stay behind in a buffer that goes on to be used.
                        out.truncate(start);
                        __payload::PayloadError::encode(#name, &cause)
                    })
                }
            }

            #[automatically_derived]
            impl __payload::#trait_name for #ident {}

            const __INFO: __payload::TypeInfo = __payload::TypeInfo {
                name: #name,
                version: #version,
                was: &[#(#was),*],
                adopted: #adopted,
                own: #own,
                personal: &[#(#personal),*],
                schema: __schema,
            };

            fn __schema() -> #private::schemars::Schema {
                #private::schemars::SchemaGenerator::default().into_root_schema_for::<#ident>()
            }
        };
    }
}

/// A variant and the type it holds.
struct Newtype<'a> {
    variant: &'a Ident,
    holds: &'a Type,
}

fn variants<'a>(kind: Kind, input: &DeriveInput, data: &'a DataEnum) -> syn::Result<Vec<Newtype<'a>>> {
    let word = kind.word();
    if data.variants.is_empty() {
        let sentence = format!("This enum holds no {word}: give it a variant for each {word} struct, `Name(Struct)`.");
        return Err(syn::Error::new(input.ident.span(), sentence));
    }
    let mut newtypes = Vec::with_capacity(data.variants.len());
    for variant in &data.variants {
        match &variant.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                newtypes.push(Newtype { variant: &variant.ident, holds: &fields.unnamed[0].ty });
            }
            _ => {
                let sentence =
                    format!("Each variant holds one {word} struct and nothing else: write `{}(…)`.", variant.ident);
                return Err(syn::Error::new_spanned(variant, sentence));
            }
        }
    }
    Ok(newtypes)
}

fn several_types(kind: Kind, private: &TokenStream, input: &DeriveInput, variants: &[Newtype]) -> TokenStream {
    let ident = &input.ident;
    let trait_name = kind.trait_name();
    let names: Vec<&Ident> = variants.iter().map(|newtype| newtype.variant).collect();
    let types: Vec<&Type> = variants.iter().map(|newtype| newtype.holds).collect();
    let from = variants.iter().map(|Newtype { variant, holds }| {
        quote! {
            #[automatically_derived]
            impl ::core::convert::From<#holds> for #ident {
                fn from(inner: #holds) -> Self {
                    Self::#variant(inner)
                }
            }
        }
    });
    // A command among the events is caught here, with its place.
    let checked = types.iter().map(|holds| quote_spanned!(holds.span()=> __is::<#holds>();));
    quote! {
        #[doc(hidden)]
        #[allow(clippy::all, clippy::pedantic, clippy::nursery, deprecated, unused_qualifications)]
        const _: () = {
            use #private::core::payload as __payload;

            #[automatically_derived]
            impl __payload::Payload for #ident {
                fn types() -> ::std::vec::Vec<__payload::TypeInfo> {
                    let mut types = ::std::vec::Vec::new();
                    #(types.extend(<#types as __payload::Payload>::types());)*
                    types
                }

                fn type_info(&self) -> __payload::TypeInfo {
                    match self {
                        #(Self::#names(inner) => __payload::Payload::type_info(inner),)*
                    }
                }

                fn decode(name: &str, data: &[u8]) -> ::core::result::Result<Self, __payload::PayloadError> {
                    // Made once: asking every variant for its types would allocate on each message read.
                    static READERS: ::std::sync::OnceLock<::std::vec::Vec<(&'static str, __Read)>> =
                        ::std::sync::OnceLock::new();
                    let readers = READERS.get_or_init(__readers);
                    match readers.iter().find(|(known, _)| *known == name) {
                        ::core::option::Option::Some((_, read)) => read(name, data),
                        ::core::option::Option::None => ::core::result::Result::Err(
                            __payload::PayloadError::UnknownType(::std::string::String::from(name)),
                        ),
                    }
                }

                fn encode(
                    &self,
                    out: &mut ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), __payload::PayloadError> {
                    match self {
                        #(Self::#names(inner) => __payload::Payload::encode(inner, out),)*
                    }
                }
            }

            #[automatically_derived]
            impl __payload::#trait_name for #ident {}

            #(#from)*

            type __Read = fn(&str, &[u8]) -> ::core::result::Result<#ident, __payload::PayloadError>;

            fn __readers() -> ::std::vec::Vec<(&'static str, __Read)> {
                fn __is<T: __payload::#trait_name>() {}
                #(#checked)*

                let mut readers: ::std::vec::Vec<(&'static str, __Read)> = ::std::vec::Vec::new();
                #(for known in <#types as __payload::Payload>::types() {
                    readers.push((known.name, |name, data| {
                        <#types as __payload::Payload>::decode(name, data).map(#ident::#names)
                    }));
                })*
                readers
            }
        };
    }
}
