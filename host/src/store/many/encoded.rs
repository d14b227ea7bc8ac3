//! Many lists of parameters in the bytes that the server wants.

use std::ops::Range;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgStatement, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use crate::store::GuestError;
use crate::store::statement::{bad_parameter, types_for};
use crate::store::value::{self, Value};

/// Lists of the same length, one behind the other.
#[derive(Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    /// Where each parameter lies; `None`: NULL.
    places: Vec<Option<Range<usize>>>,
    width: usize,
    lists: usize,
}

impl Encoded {
    /// Holds the lists against what the statement takes.
    pub fn of(statement: &PgStatement, lists: &[Vec<Value>]) -> Result<Encoded, GuestError> {
        let mut encoded = Encoded::default();
        for parameters in lists {
            let types = types_for(statement, parameters)?;
            encoded.add(types, parameters)?;
        }
        Ok(encoded)
    }

    pub fn add(&mut self, types: &[PgTypeInfo], parameters: &[Value]) -> Result<(), GuestError> {
        for (index, (parameter, info)) in parameters.iter().zip(types).enumerate() {
            let begin = self.bytes.len();
            let is_null = value::check_text(parameter)
                .and_then(|()| value::encode(parameter, info, &mut self.bytes))
                .map_err(|misfit| bad_parameter(index, &misfit))?;
            let place = begin..self.bytes.len();
            self.places
                .push(matches!(is_null, IsNull::No).then_some(place));
        }
        self.width = parameters.len();
        self.lists += 1;
        Ok(())
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.lists
    }

    /// A parameter of a list; `None`: NULL.
    pub fn get(&self, list: usize, place: usize) -> Option<&[u8]> {
        let range = self.places[list * self.width + place].clone()?;
        Some(&self.bytes[range])
    }

    /// The parameter at this place in each of these lists, as an array.
    pub fn column<'a>(&'a self, lists: &'a [usize], place: usize, array: ArrayType) -> Column<'a> {
        Column {
            encoded: self,
            lists,
            place,
            array,
        }
    }
}

/// Numbers that the server has for a type and for arrays of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArrayType {
    pub element: u32,
    pub array: u32,
}

/// A parameter that is an array.
pub(super) struct Column<'a> {
    encoded: &'a Encoded,
    lists: &'a [usize],
    place: usize,
    array: ArrayType,
}

impl Type<Postgres> for Column<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Column<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let parameter = |list: &usize| self.encoded.get(*list, self.place);
        let parameters = self.lists.iter().map(parameter);
        let written =
            value::write_array(self.array.element, parameters, buffer, |bytes, buffer| {
                buffer.extend(bytes);
                Some(())
            });
        written.ok_or("too large for an array")?;
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.array.array)))
    }
}
