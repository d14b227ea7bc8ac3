//! `#[derive(Table)]`: a struct becomes a row of a table.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Fields, Ident, LitInt, LitStr, Result, Type, parse_macro_input,
};

/// Implements `TableRow` and `FromRow` for a struct with named fields.
///
/// - `#[table(name = "..")]` on the struct: the table's name; without it the struct's name in snake case.
/// - `#[table(fillfactor = 50)]` on the struct: percent of a page that new rows fill, from 10 to 100. What is left is room for changed rows, which
///   makes them faster to write where rows change again and again.
/// - `#[key]` on one or more fields: the primary key, in the order of the fields.
/// - `#[column(name = "..", type = "..")]` on a field: other than the field's name, other than the type's own column type.
/// - `#[index]` on a field: an index of its own.
#[proc_macro_derive(Table, attributes(table, key, column, index))]
pub fn derive_table(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

struct Field {
    ident: Ident,
    ty: Type,
    name: String,
    type_name: Option<LitStr>,
    key: bool,
    indexed: bool,
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "a table's struct has no generic parameters",
        ));
    }
    let fields = fields(input)?;
    let table = table_options(input)?;
    let sdk = quote!(::projectionist_sdk);
    let row = table_row(input, &fields, &table, &sdk);
    let from_row = from_row(input, &fields, &sdk);
    let checks = key_checks(&fields, &sdk);
    Ok(quote!(#row #from_row #checks))
}

fn table_row(
    input: &DeriveInput,
    fields: &[Field],
    table: &TableOptions,
    sdk: &TokenStream,
) -> TokenStream {
    let ident = &input.ident;
    let TableOptions { name, fillfactor } = table;
    let fillfactor = fillfactor.map(|percent| {
        quote!(const FILLFACTOR: ::std::option::Option<u8> = ::std::option::Option::Some(#percent);)
    });
    let columns = fields.iter().map(|field| column_def(field, sdk));
    let (key_idents, key_types): (Vec<_>, Vec<_>) = fields
        .iter()
        .filter(|field| field.key)
        .map(|field| (&field.ident, &field.ty))
        .unzip();
    let (key_type, key, set_key) = match (&key_idents[..], &key_types[..]) {
        ([ident], [ty]) => (
            quote!(#ty),
            quote!(self.#ident.clone()),
            quote!(self.#ident = key;),
        ),
        _ => (
            quote!((#(#key_types),*)),
            quote!((#(self.#key_idents.clone()),*)),
            quote!((#(self.#key_idents),*) = key;),
        ),
    };
    let (idents, types): (Vec<_>, Vec<_>) =
        fields.iter().map(|field| (&field.ident, &field.ty)).unzip();
    let names = fields.iter().map(|field| &field.name);
    quote! {
        #[automatically_derived]
        impl #sdk::TableRow for #ident {
            const TABLE: &'static str = #name;
            #fillfactor
            const COLUMNS: &'static [#sdk::ColumnDef] = &[#(#columns),*];
            type Key = #key_type;

            fn key(&self) -> Self::Key {
                #key
            }

            fn set_key(&mut self, key: Self::Key) {
                #set_key
            }

            fn to_values(&self) -> ::std::vec::Vec<#sdk::Value> {
                ::std::vec::Vec::from([#(<#types as #sdk::ToValue>::to_value(&self.#idents)),*])
            }

            fn from_values(values: ::std::vec::Vec<#sdk::Value>) -> ::std::result::Result<Self, #sdk::ValueError> {
                let mut values = values.into_iter();
                ::std::result::Result::Ok(Self {
                    #(#idents: {
                        let value = values.next().ok_or_else(|| #sdk::ValueError::missing(#names))?;
                        <#types as #sdk::FromValue>::from_value(value).map_err(|error| error.in_column(#names))?
                    },)*
                })
            }
        }
    }
}

fn column_def(field: &Field, sdk: &TokenStream) -> TokenStream {
    let Field {
        ty,
        name,
        key,
        indexed,
        ..
    } = field;
    let type_name = match &field.type_name {
        Some(type_name) => quote!(#type_name),
        None => quote!(<#ty as #sdk::Column>::TYPE),
    };
    quote! {
        #sdk::ColumnDef {
            name: #name,
            type_name: #type_name,
            nullable: <#ty as #sdk::Column>::NULLABLE,
            key: #key,
            indexed: #indexed,
        }
    }
}

fn from_row(input: &DeriveInput, fields: &[Field], sdk: &TokenStream) -> TokenStream {
    let ident = &input.ident;
    let (idents, names): (Vec<_>, Vec<_>) = fields
        .iter()
        .map(|field| (&field.ident, &field.name))
        .unzip();
    quote! {
        #[automatically_derived]
        impl #sdk::FromRow for #ident {
            fn from_row(mut row: #sdk::Row<'_>) -> ::std::result::Result<Self, #sdk::ValueError> {
                ::std::result::Result::Ok(Self { #(#idents: row.take_named(#names)?),* })
            }
        }
    }
}

/// A null in a primary key is an error in PostgreSQL at run time; here it is one of the compiler.
fn key_checks(fields: &[Field], sdk: &TokenStream) -> TokenStream {
    let types = fields
        .iter()
        .filter(|field| field.key)
        .map(|field| &field.ty);
    quote!(#(const _: () = assert!(!<#types as #sdk::Column>::NULLABLE, "a key field cannot be an Option");)*)
}

fn fields(input: &DeriveInput) -> Result<Vec<Field>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "#[derive(Table)] is for structs"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new(
            data.fields.span(),
            "a table's struct has named fields",
        ));
    };
    let fields = named.named.iter().map(field).collect::<Result<Vec<_>>>()?;
    if !fields.iter().any(|field| field.key) {
        return Err(Error::new(
            input.ident.span(),
            "a table needs a key: put #[key] on one or more fields",
        ));
    }
    Ok(fields)
}

fn field(field: &syn::Field) -> Result<Field> {
    let ident = field
        .ident
        .clone()
        .unwrap_or_else(|| format_ident!("unnamed"));
    let has = |name: &str| {
        field
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident(name))
    };
    let mut parsed = Field {
        name: ident.unraw().to_string(),
        ident,
        ty: field.ty.clone(),
        type_name: None,
        key: has("key"),
        indexed: has("index"),
    };
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("column"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                parsed.name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("type") {
                parsed.type_name = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("unknown; #[column(..)] takes name and type"));
            }
            Ok(())
        })?;
    }
    Ok(parsed)
}

/// What `#[table(..)]` says.
struct TableOptions {
    name: String,
    fillfactor: Option<u8>,
}

fn table_options(input: &DeriveInput) -> Result<TableOptions> {
    let mut options = TableOptions {
        name: snake_case(&input.ident.unraw().to_string()),
        fillfactor: None,
    };
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("table"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                options.name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("fillfactor") {
                options.fillfactor = Some(fillfactor(&meta.value()?.parse()?)?);
            } else {
                return Err(meta.error("unknown; #[table(..)] takes name and fillfactor"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn fillfactor(percent: &LitInt) -> Result<u8> {
    match percent.base10_parse()? {
        percent @ 10..=100 => Ok(percent),
        _ => Err(Error::new(percent.span(), "a fillfactor is from 10 to 100")),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
