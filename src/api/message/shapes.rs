//! The shapes of all messages that clients send: those of our package, and those of Arrow Flight, which others have written.

use std::sync::OnceLock;

use historian_proto::shape::{Foreign, Scan, ScanError, Shape, Shapes};
use tonic::Status;

use super::answer::unreadable;
use crate::DecodeAllowance;

const FLIGHT: &str = "/arrow.flight.protocol.FlightService/";

/// What the methods of Flight take. `ListActions` takes nothing.
const INPUTS: [(&str, &str); 9] = [
    ("Handshake", "HandshakeRequest"),
    ("ListFlights", "Criteria"),
    ("GetFlightInfo", "FlightDescriptor"),
    ("PollFlightInfo", "FlightDescriptor"),
    ("GetSchema", "FlightDescriptor"),
    ("DoGet", "Ticket"),
    ("DoPut", "FlightData"),
    ("DoExchange", "FlightData"),
    ("DoAction", "Action"),
];

/// Messages of Flight, and those of our own that are in its tickets, handles and actions.
const MESSAGES: [(&str, &[(u32, Foreign)]); 18] = {
    use Foreign::{Bytes, Fixed64, Message, Messages, Text, Texts, Varint};
    [
        ("HandshakeRequest", &[(1, Varint), (2, Bytes)]),
        ("Criteria", &[(1, Bytes)]),
        ("FlightDescriptor", &[(1, Varint), (2, Bytes), (3, Texts)]),
        ("Ticket", &[(1, Bytes)]),
        ("FlightData", &[(1, Message("FlightDescriptor")), (2, Bytes), (3, Bytes), (1000, Bytes)]),
        ("Action", &[(1, Text), (2, Bytes)]),
        (
            "FlightInfo",
            &[
                (1, Bytes),
                (2, Message("FlightDescriptor")),
                (3, Messages("FlightEndpoint")),
                (4, Varint),
                (5, Varint),
                (6, Varint),
                (7, Bytes),
            ],
        ),
        ("FlightEndpoint", &[(1, Message("Ticket")), (2, Messages("Location")), (3, Message("Timestamp")), (4, Bytes)]),
        ("Location", &[(1, Text)]),
        ("Timestamp", &[(1, Varint), (2, Varint)]),
        ("CancelFlightInfoRequest", &[(1, Message("FlightInfo"))]),
        ("SetSessionOptionsRequest", &[(1, Messages("SessionOption"))]),
        ("SessionOption", &[(1, Text), (2, Message("SessionOptionValue"))]),
        ("SessionOptionValue", &[(1, Text), (2, Varint), (3, Fixed64), (4, Fixed64), (5, Message("Strings"))]),
        ("Strings", &[(1, Texts)]),
        // A handle of bound values, or a ticket of a statement.
        ("BoundHandle", &[(1, Bytes), (2, Text), (3, Messages("FlightData"))]),
        ("StatementTicket", &[(1, Text), (2, Fixed64), (3, Fixed64), (4, Message("AnswerOptions")), (5, Messages("FlightData"))]),
        ("AnswerOptions", &[(1, Varint), (2, Text), (3, Varint)]),
    ]
};

fn shapes() -> &'static Shapes {
    static SHAPES: OnceLock<Shapes> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let mut shapes = Shapes::of_package();
        for (name, fields) in MESSAGES {
            shapes.add(name, fields);
        }
        for (method, input) in INPUTS {
            shapes.add_method(format!("{FLIGHT}{method}"), input);
        }
        shapes
    })
}

/// What the method with this path takes; `None` where nothing in it can take more than its bytes.
pub fn input(path: &str) -> Option<Shape> {
    shapes().input(path)
}

/// A scan of a message of this shape.
pub fn scan(shape: Shape, length: Option<usize>, bytes_max: usize) -> Scan<'static> {
    Scan::new(shapes(), shape, length, bytes_max)
}

/// Why a scan refuses a message.
pub fn refused(error: ScanError, allowance: &DecodeAllowance) -> Status {
    match error {
        ScanError::TooMuch => allowance.passed("the message, when it is decoded,"),
        ScanError::Malformed(reason) => unreadable(reason),
    }
}

/// Checks a message that lies within another one as bytes, before it is decoded: one of [`MESSAGES`], by its name.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` when it would take more than is allowed, `INVALID_ARGUMENT` when it cannot be read.
pub fn check(name: &str, bytes: &[u8], allowance: &DecodeAllowance) -> Result<(), Status> {
    let Some(shape) = shapes().find(name) else { return Err(unreadable("it is of no known kind")) };
    let mut scan = scan(shape, Some(bytes.len()), allowance.bytes_max());
    scan.push(bytes).and_then(|()| scan.finish()).map(drop).map_err(|error| refused(error, allowance))
}
