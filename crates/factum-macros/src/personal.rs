//! `#[personal(subject = …)]`: fields that tell of a person, and the field beside them that says of whom.

use syn::parse::{Parse, ParseStream};
use syn::{Field, Ident, Token, ext::IdentExt};

use crate::attributes;

const NAME: &str = "personal";
const USAGE: &str = "`#[personal(subject = customer_id)]`, with the field that says of whom it tells";

/// A field and its subject, by their names in JSON.
pub struct Personal {
    pub field: String,
    pub subject: String,
}

/// What `#[personal(…)]` says.
struct Subject(Ident);

impl Parse for Subject {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let key: Ident = input.parse()?;
        if key != "subject" {
            return Err(syn::Error::new(key.span(), "unknown option"));
        }
        input.parse::<Token![=]>()?;
        Ident::parse_any(input).map(Self)
    }
}

/// The fields that are marked.
pub fn fields(fields: &[&Field]) -> syn::Result<Vec<Personal>> {
    let mut marked = Vec::new();
    for field in fields {
        let Some(attribute) = attributes::single(&field.attrs, NAME)? else { continue };
        let Subject(subject) =
            attributes::list(attribute, Subject::parse, &format!("This is not understood: write {USAGE}."))?;
        let named = |field: &&&Field| field.ident.as_ref().is_some_and(|name| name.unraw() == subject.unraw());
        let Some(of) = fields.iter().find(named) else {
            let sentence = format!("There is no field `{subject}` here: name the field that says of whom this tells.");
            return Err(syn::Error::new(subject.span(), sentence));
        };
        if attributes::single(&of.attrs, NAME)?.is_some() {
            let sentence = format!("`{subject}` is personal itself: the subject is an id, which stays readable.");
            return Err(syn::Error::new(subject.span(), sentence));
        }
        marked.push(Personal { field: attributes::wire_name(field)?, subject: attributes::wire_name(of)? });
    }
    Ok(marked)
}
