//! Command statuses: their names, and who has to act on each.
//!
//! Knows the codes of SMPP 3.4 §5.1.3 and the few of 5.0 that carriers send on 3.4 binds, and the default class of each.
//! Refuses to know what a carrier means by a code of its own: the caller may override the class for each carrier.

use std::fmt;

/// Who has to act on a refusal. This is the default for a status; a caller may override it for each carrier and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// The carrier asks for a lower rate: pause sending, keep the order, do not count an attempt.
    Throttle,
    /// A temporary problem of the carrier or the message: retry with back-off.
    Transient,
    /// The session is not in the state that the request needs: bind again.
    Session,
    /// The account is refused: stop sending and alert the operator.
    Credential,
    /// This message will never be accepted: fail it now.
    PermanentMessage,
    /// The carrier could not read the request: log the PDU, stop sending if it happens repeatedly.
    OurBug,
    /// The status is not in the table: treat it as transient, a limited number of times.
    Unknown,
}

/// `command_status` of a response: zero is success, every other value the reason of a refusal. Any u32 is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandStatus(pub u32);

macro_rules! statuses {
    ($($name:ident = $code:literal, $class:expr;)*) => {
        impl CommandStatus {
            $(pub const $name: CommandStatus = CommandStatus($code);)*

            /// Every code that has a name, in ascending order.
            pub const NAMED: &'static [CommandStatus] = &[$(CommandStatus($code)),*];

            /// The name in the specification with its `ESME_` prefix; `None` for a code that is reserved or a carrier's own.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(concat!("ESME_", stringify!($name))),)*
                    _ => None,
                }
            }

            /// The default class; `None` for success. A code without a name is [`ErrorClass::Unknown`].
            pub const fn class(self) -> Option<ErrorClass> {
                match self.0 {
                    $($code => $class,)*
                    _ => Some(ErrorClass::Unknown),
                }
            }
        }
    };
}

const THROTTLE: Option<ErrorClass> = Some(ErrorClass::Throttle);
const TRANSIENT: Option<ErrorClass> = Some(ErrorClass::Transient);
const SESSION: Option<ErrorClass> = Some(ErrorClass::Session);
const CREDENTIAL: Option<ErrorClass> = Some(ErrorClass::Credential);
const PERMANENT: Option<ErrorClass> = Some(ErrorClass::PermanentMessage);
const OUR_BUG: Option<ErrorClass> = Some(ErrorClass::OurBug);
const UNKNOWN: Option<ErrorClass> = Some(ErrorClass::Unknown);

statuses! {
    ROK = 0x0000_0000, None;
    RINVMSGLEN = 0x0000_0001, PERMANENT;
    RINVCMDLEN = 0x0000_0002, OUR_BUG;
    RINVCMDID = 0x0000_0003, OUR_BUG;
    RINVBNDSTS = 0x0000_0004, SESSION;
    RALYBND = 0x0000_0005, SESSION;
    RINVPRTFLG = 0x0000_0006, PERMANENT;
    RINVREGDLVFLG = 0x0000_0007, PERMANENT;
    RSYSERR = 0x0000_0008, TRANSIENT;
    RINVSRCADR = 0x0000_000A, PERMANENT;
    RINVDSTADR = 0x0000_000B, PERMANENT;
    RINVMSGID = 0x0000_000C, UNKNOWN;
    RBINDFAIL = 0x0000_000D, SESSION;
    RINVPASWD = 0x0000_000E, CREDENTIAL;
    RINVSYSID = 0x0000_000F, CREDENTIAL;
    RCANCELFAIL = 0x0000_0011, UNKNOWN;
    RREPLACEFAIL = 0x0000_0013, UNKNOWN;
    RMSGQFUL = 0x0000_0014, THROTTLE;
    RINVSERTYP = 0x0000_0015, CREDENTIAL;
    RINVNUMDESTS = 0x0000_0033, PERMANENT;
    RINVDLNAME = 0x0000_0034, UNKNOWN;
    RINVDESTFLAG = 0x0000_0040, UNKNOWN;
    RINVSUBREP = 0x0000_0042, UNKNOWN;
    RINVESMCLASS = 0x0000_0043, PERMANENT;
    RCNTSUBDL = 0x0000_0044, UNKNOWN;
    RSUBMITFAIL = 0x0000_0045, TRANSIENT;
    RINVSRCTON = 0x0000_0048, PERMANENT;
    RINVSRCNPI = 0x0000_0049, PERMANENT;
    RINVDSTTON = 0x0000_0050, PERMANENT;
    RINVDSTNPI = 0x0000_0051, PERMANENT;
    RINVSYSTYP = 0x0000_0053, CREDENTIAL;
    RINVREPFLAG = 0x0000_0054, UNKNOWN;
    RINVNUMMSGS = 0x0000_0055, UNKNOWN;
    RTHROTTLED = 0x0000_0058, THROTTLE;
    RINVSCHED = 0x0000_0061, PERMANENT;
    RINVEXPIRY = 0x0000_0062, PERMANENT;
    RINVDFTMSGID = 0x0000_0063, UNKNOWN;
    RX_T_APPN = 0x0000_0064, TRANSIENT;
    RX_P_APPN = 0x0000_0065, PERMANENT;
    RX_R_APPN = 0x0000_0066, PERMANENT;
    RQUERYFAIL = 0x0000_0067, UNKNOWN;
    RINVOPTPARSTREAM = 0x0000_00C0, PERMANENT;
    ROPTPARNOTALLWD = 0x0000_00C1, PERMANENT;
    RINVPARLEN = 0x0000_00C2, PERMANENT;
    RMISSINGOPTPARAM = 0x0000_00C3, PERMANENT;
    RINVOPTPARAMVAL = 0x0000_00C4, PERMANENT;
    RDELIVERYFAILURE = 0x0000_00FE, TRANSIENT;
    RUNKNOWNERR = 0x0000_00FF, TRANSIENT;
    RSERTYPUNAUTH = 0x0000_0100, UNKNOWN;
    RPROHIBITED = 0x0000_0101, CREDENTIAL;
    RSERTYPUNAVAIL = 0x0000_0102, UNKNOWN;
    RSERTYPDENIED = 0x0000_0103, CREDENTIAL;
    RINVDCS = 0x0000_0104, UNKNOWN;
}

impl CommandStatus {
    /// True for `ESME_ROK`.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for CommandStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CommandStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:02X})", self.0),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u32, name: &str, class: Option<ErrorClass>) {
        assert_eq!(CommandStatus(code).name(), Some(name));
        assert_eq!(CommandStatus(code).class(), class);
    }

    #[test]
    fn codes_that_second_hand_tables_get_wrong() {
        check(0x06, "ESME_RINVPRTFLG", Some(ErrorClass::PermanentMessage));
        check(0x0A, "ESME_RINVSRCADR", Some(ErrorClass::PermanentMessage));
        check(0x0B, "ESME_RINVDSTADR", Some(ErrorClass::PermanentMessage));
        check(0x14, "ESME_RMSGQFUL", Some(ErrorClass::Throttle));
        check(0x58, "ESME_RTHROTTLED", Some(ErrorClass::Throttle));
        check(0x50, "ESME_RINVDSTTON", Some(ErrorClass::PermanentMessage));
        check(0xFE, "ESME_RDELIVERYFAILURE", Some(ErrorClass::Transient));
    }

    #[test]
    fn success_has_no_class_and_a_strange_code_is_unknown() {
        check(0, "ESME_ROK", None);
        assert_eq!(CommandStatus(0x0400).class(), Some(ErrorClass::Unknown));
        assert_eq!(CommandStatus(0x0400).name(), None);
        assert_eq!(CommandStatus(0x0400).to_string(), "0x00000400");
        assert_eq!(CommandStatus::RTHROTTLED.to_string(), "ESME_RTHROTTLED (0x58)");
    }

    #[test]
    fn the_table_is_in_order_and_holds_no_code_twice() {
        assert!(CommandStatus::NAMED.is_sorted_by(|left, right| left < right));
    }
}
