//! Functions that take their arguments by type.

use crate::extract::Extract;
use crate::failure::Result;
use crate::parts::Parts;

/// A function whose arguments are all [`Extract`]ed from `S`. `Args` is the tuple of their types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler here",
    note = "a handler is a function of at most eight arguments, each of a type that can be extracted (see `Extract`)"
)]
pub trait Handler<S, Args>: 'static {
    /// What the function returns.
    type Output;

    /// What its arguments look at of the event in hand.
    const PARTS: Parts;

    /// Takes the arguments from `source` and calls the function.
    ///
    /// # Errors
    /// An argument could not be had; the function was not called.
    fn call(&self, source: &S) -> Result<Self::Output>;
}

macro_rules! handler {
    ($($arg:ident)*) => {
        impl<S, F, R, $($arg,)*> Handler<S, ($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + 'static,
            $($arg: Extract<S>,)*
        {
            type Output = R;

            const PARTS: Parts = Parts::NONE$(.and($arg::PARTS))*;

            #[allow(unused_variables, reason = "a handler without arguments needs no source")]
            fn call(&self, source: &S) -> Result<R> {
                Ok(self($($arg::extract(source)?),*))
            }
        }
    };
}

handler!();
handler!(A1);
handler!(A1 A2);
handler!(A1 A2 A3);
handler!(A1 A2 A3 A4);
handler!(A1 A2 A3 A4 A5);
handler!(A1 A2 A3 A4 A5 A6);
handler!(A1 A2 A3 A4 A5 A6 A7);
handler!(A1 A2 A3 A4 A5 A6 A7 A8);
