//! Serde and schemars for a struct whose owner derives neither: a hidden mirror with the same fields.
//!
//! A derive cannot add derives to the type it stands on. Serde's `remote` makes the impls on a twin that reads and
//! writes the original; three small impls forward to it. The twin lives inside `const _`, where nobody can name it.

use crate::attributes::goes_to_the_mirror;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, DeriveInput, Field, LitStr, Type, spanned::Spanned};

/// The items to put into the `const _` block: the mirror, and the forwarding impls.
pub fn items(private: &TokenStream, input: &DeriveInput, fields: &[&Field], schema: bool) -> TokenStream {
    let original = &input.ident;
    let remote = original.to_string();
    let serde_path = LitStr::new(&format!("{private}::serde").replace(' ', ""), original.span());
    let schemars_path = LitStr::new(&format!("{private}::schemars").replace(' ', ""), original.span());
    let container = input.attrs.iter().filter(|attribute| goes_to_the_mirror(attribute, schema));
    let fields = fields.iter().map(|field| mirror_field(field, schema));
    let schema_derive =
        schema.then(|| quote!(#[derive(#private::schemars::JsonSchema)] #[schemars(crate = #schemars_path)]));
    let schema_impl = schema.then(|| schema_impl(private, input));

    quote! {
        #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
        #[serde(crate = #serde_path, rename_all = "camelCase", remote = #remote)]
        #schema_derive
        #(#container)*
        struct __FactumMirror { #(#fields),* }

        #[automatically_derived]
        impl #private::serde::Serialize for #original {
            fn serialize<S: #private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                __FactumMirror::serialize(self, serializer)
            }
        }

        #[automatically_derived]
        impl<'de> #private::serde::Deserialize<'de> for #original {
            fn deserialize<D: #private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                __FactumMirror::deserialize(deserializer)
            }
        }

        #schema_impl
    }
}

fn mirror_field(field: &Field, schema: bool) -> TokenStream {
    let (name, ty) = (&field.ident, &field.ty);
    let kept: Vec<&Attribute> = field.attrs.iter().filter(|attribute| goes_to_the_mirror(attribute, schema)).collect();
    // Who writes serde options for a field says all of them; ours would collide with theirs.
    let own_serde = field.attrs.iter().any(|attribute| attribute.path().is_ident("serde"));
    let absent = (is_option(ty) && !own_serde)
        .then(|| quote!(#[serde(default, skip_serializing_if = "::core::option::Option::is_none")]));
    // The field's own span makes "does not implement Serialize" point at the field.
    quote_spanned!(field.span()=> #(#kept)* #absent #name: #ty)
}

fn schema_impl(private: &TokenStream, input: &DeriveInput) -> TokenStream {
    let original = &input.ident;
    let name = original.to_string();
    quote! {
        #[automatically_derived]
        impl #private::schemars::JsonSchema for #original {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                <__FactumMirror as #private::schemars::JsonSchema>::schema_name()
            }

            fn schema_id() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(::core::concat!(::core::module_path!(), "::", #name))
            }

            fn json_schema(generator: &mut #private::schemars::SchemaGenerator) -> #private::schemars::Schema {
                <__FactumMirror as #private::schemars::JsonSchema>::json_schema(generator)
            }
        }
    }
}

fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == "Option"),
        Type::Group(group) => is_option(&group.elem),
        Type::Paren(paren) => is_option(&paren.elem),
        _ => false,
    }
}
