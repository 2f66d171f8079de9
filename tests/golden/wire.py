"""Messages of protobuf without their descriptors: read, written again to the byte, and shown. What the public tools would hide stays visible: the
order of fields, unknown fields, defaults that were sent."""

from lib import any_message, field, varint


def number_at(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a varint that does not end")


def fields(data):
    """The fields as (number, wire type, value) in the order sent; ValueError where the bytes are no message."""
    found, at = [], 0
    try:
        while at < len(data):
            key, at = number_at(data, at)
            number, kind = key >> 3, key & 7
            if number == 0 or number > 10_000:
                raise ValueError("no field number")
            if kind == 0:
                value, at = number_at(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at : at + size], at + size
            elif kind == 2:
                size, at = number_at(data, at)
                value, at = data[at : at + size], at + size
            else:
                raise ValueError("no wire type")
            if at > len(data):
                raise ValueError("cut off")
            found.append((number, kind, value))
    except IndexError:
        raise ValueError("cut off") from None
    return found


def written(found):
    out = b""
    for number, kind, value in found:
        out += varint(number << 3 | kind)
        out += varint(value) if kind == 0 else varint(len(value)) + value if kind == 2 else value
    return out


def flag(number, value):
    return varint(number << 3) + varint(int(value))


def one(data, number, default=b""):
    """The last field of a number."""
    return next((value for found, _, value in reversed(fields(data)) if found == number), default)


def every(data, number):
    return [value for found, _, value in fields(data) if found == number]


def text_of(value):
    """The bytes as text, where they are one that a person reads."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter in "\n\t" for letter in text) else None


def inside(value):
    """The fields of bytes that are a message themselves, else None."""
    try:
        found = fields(value)
    except ValueError:
        return None
    return found if found and written(found) == value else None


def normal(data, rules):
    """The message with its exceptions replaced, at any depth; lengths around texts are made anew."""
    data = rules.data(data)

    def of(found):
        return [(number, kind, leaf(value) if kind == 2 else value) for number, kind, value in found]

    def leaf(value):
        text = text_of(value)
        if text is not None:
            return rules.text(text).encode()
        found = inside(value)
        return value if found is None else written(of(found))

    found = inside(data)
    return data if found is None else written(of(found))


def shown(data, depth=0):
    """Lines for people."""
    pad = "  " * depth
    for number, kind, value in fields(data):
        if kind == 0:
            yield f"{pad}{number}: {value}"
        elif kind in (1, 5):
            yield f"{pad}{number}: 0x{value[::-1].hex()}"
        else:
            text, found = text_of(value), inside(value)
            if text is not None:
                yield f"{pad}{number}: {text!r}"
            elif found is not None:
                yield f"{pad}{number} {{"
                yield from shown(value, depth + 1)
                yield f"{pad}}}"
            else:
                yield f"{pad}{number}: bytes {value.hex()}"
